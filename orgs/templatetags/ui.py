"""The small marks of the interface. Every value that reaches the markup is escaped; no inline style anywhere."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from django import template
from django.forms import BoundField
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

STATUS = {"healthy": "Healthy", "failing": "Failing", "limited": "Rate limited", "untested": "Not tested", "off": "Off"}
# Marks in a browser's description of itself; the first that matches counts.
BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS = {"iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Windows": "Windows", "Mac OS": "macOS", "Linux": "Linux"}
CHECKS = {"o": ("ok", 20), "x": ("bad", 20), "w": ("warn", 20), ".": ("none", 6)}


class Marked(Protocol):
    """What `tile` needs to know of a provider."""

    slug: str
    mark: str


class Linked(Protocol):
    """What `linked` needs to know of a number."""

    @property
    def text(self) -> str: ...
    @property
    def url(self) -> str: ...


@register.simple_tag
def icon(name: str, cls: str = "") -> SafeString:
    """A symbol of static/icons.svg."""
    return format_html('<svg class="i {}" aria-hidden="true"><use href="{}#{}"/></svg>', cls, static("icons.svg"), name)


@register.simple_tag
def tile(provider: Marked, size: str = "") -> SafeString:
    """The two-letter mark of a provider row; `size` is "sm", "lg" or nothing."""
    return format_html('<span class="tile {} {}" aria-hidden="true">{}</span>', provider.slug, size, provider.mark)


@register.simple_tag
def status(kind: str, pill: bool = False, label: str = "") -> SafeString:
    """Mark and word of one of the five states. A pill only in a page header."""
    shape = "pill" if pill else ""
    return format_html('<span class="status {} {}">{}{}</span>', kind, shape, icon(f"s-{kind}"), label or STATUS[kind])


@register.simple_tag
def spark(points: Sequence[float], label: str, cls: str = "") -> SafeString:
    """A trend line of two or more numbers; `label` says it in words."""
    top = max(points) or 1
    step = 88 / (len(points) - 1)
    line = "M" + "L".join(f"{index * step:.1f} {22 - point / top * 20:.1f}" for index, point in enumerate(points))
    return format_html(
        '<svg class="spark {}" viewBox="0 0 88 24" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="ar" d="{}L88 24L0 24Z"/><path class="ln" d="{}"/></svg>',
        cls,
        label,
        line,
        line,
    )


@register.simple_tag
def share(percent: float, series: int = 1) -> SafeString:
    """A bar from 0 to 100, in the color of a chart series."""
    return format_html(
        '<svg class="sharebar" viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="fill{}" width="{}" height="5"/></svg>',
        series,
        f"{percent:.2f}",
    )


@register.simple_tag
def meter(percent: float, label: str) -> SafeString:
    """How much of a limit is used: amber from 80, red from 100."""
    level = "full" if percent >= 100 else "hi" if percent >= 80 else ""
    return format_html(
        '<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="v {}" width="{}" height="6"/></svg>',
        label,
        level,
        f"{min(percent, 100):.2f}",
    )


@register.simple_tag
def strip(states: str, label: str) -> SafeString:
    """A row of checks, oldest first: o passed, x failed, w slow, . not run."""
    marks = ((*CHECKS[state], index * 10, 24 - CHECKS[state][1]) for index, state in enumerate(states))
    return format_html(
        '<svg class="strip" viewBox="0 0 {} 24" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        len(states) * 10 - 4,
        label,
        format_html_join("", '<rect class="{}" height="{}" x="{}" y="{}" width="6" rx="1.5"/>', marks),
    )


@register.simple_tag
def bars(days: Sequence[tuple[object, Sequence[float]]], top: float) -> SafeString:
    """Stacked columns of (label, one value for each series), up to `top`. The numbers belong in a table beside it."""
    step = 100 / max(len(days), 1)
    width = min(step * (0.68 if len(days) > 10 else 0.42), 8)
    columns = ((_column(values, (index + 0.5) * step - width / 2, width, top or 1),) for index, (_, values) in enumerate(days))
    return format_html(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        format_html_join("", '<g class="day">{}</g>', columns),
    )


def _column(values: Iterable[float], left: float, width: float, top: float) -> SafeString:
    """One column; each segment stops a hair short of the one above it."""
    rects = []
    y = 100.0
    for series, value in enumerate(values, 1):
        if height := value / top * 100:
            y -= height
            rects.append((series, f"{left:.3f}", f"{y:.2f}", f"{width:.3f}", f"{max(height - 0.55, 0):.2f}"))
    return format_html_join("", '<rect class="s{}" x="{}" y="{}" width="{}" height="{}"/>', rects)


@register.simple_tag
def linked(cell: Linked) -> SafeString | str:
    """A number, and the link to what is behind it if there is one."""
    return format_html('<a href="{}">{}</a>', cell.url, cell.text) if cell.url else cell.text


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """The input of a form field in the look of the house; Django ties it to its help and errors."""
    widget = field.field.widget
    classes = {"select": "select", "checkbox": "", "radio": "", "textarea": "area"}
    attrs: dict[str, str | bool] = {"class": classes.get(getattr(widget, "input_type", "textarea"), "input")}
    label, placeholder = str(field.label).lower(), str(widget.attrs.get("placeholder", "")).lower()
    if placeholder and (placeholder in label or label in placeholder):
        attrs["placeholder"] = False  # it would only repeat the label
    return field.as_widget(attrs=attrs)


@register.filter
def initials(name: object, count: int = 2) -> str:
    """The first letters of the first words, for an avatar."""
    return "".join(word[0] for word in str(name).split()[: int(count)]).upper()


@register.filter
def browser(user_agent: str) -> str:
    """A browser's own description of itself in a few words: Firefox on Linux."""
    name = next((name for mark, name in BROWSERS.items() if mark in user_agent), "A program")
    system = next((name for mark, name in SYSTEMS.items() if mark in user_agent), "")
    return f"{name} on {system}" if system else name
