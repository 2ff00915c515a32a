"""How words and times about keys are shown."""

from datetime import datetime, timedelta

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def coded(text: object) -> SafeString:
    """Escaped text, in which what stands between backticks is code."""
    parts = str(text).split("`")
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if index % 2 else part,) for index, part in enumerate(parts))
    )


@register.filter
def with_article(name: str) -> str:
    """“an Azure”, “a Groq”."""
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


@register.filter
def until(moment: datetime | None) -> str | SafeString:
    """How long it is until then, as long as that is two weeks at most; otherwise the date. UTC is in the element."""
    if moment is None:
        return "Never"
    left = moment - timezone.now()
    if left <= timedelta() or left > timedelta(days=14):
        words = date_format(moment, "j M Y")
    elif left >= timedelta(days=1):
        words = f"In {left.days} day{'' if left.days == 1 else 's'}"
    else:
        hours = left.seconds // 3600
        words = f"In {hours} hour{'' if hours == 1 else 's'}" if hours else "Within an hour"
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(timespec="seconds"), words)


@register.filter
def ago(moment: datetime | None) -> str | SafeString:
    """Relative up to 24 hours, then a date; the exact time in UTC is in the element."""
    if moment is None:
        return "Never"
    recent = timezone.now() - moment < timedelta(hours=24)
    words = naturaltime(moment) if recent else date_format(moment, "j M Y")
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(timespec="seconds"), words)
