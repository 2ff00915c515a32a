"""The form that takes a .env file, and says which of its keys to save."""

from django import forms

from keys import dotenv
from keys.forms.credentials import SecretEditor

EMPTY = "Paste the file, or the lines of it that hold provider keys."


class ImportForm(forms.Form):
    """`chosen`: each key as number and name of its line, so that another text than the one that was looked at saves nothing."""

    text = forms.CharField(
        label="Contents of the .env file",
        help_text="Lines such as `OPENAI_API_KEY=…`. Nothing of it is kept but the keys you save.",
        max_length=dotenv.MOST_BYTES,
        strip=False,
        widget=SecretEditor(required=None, **{"class": "area mono"}),
        error_messages={"required": EMPTY, "max_length": "This is more than 32 kB. Paste only the lines with provider keys."},
        template_name="keys/fields/text.html",
    )
