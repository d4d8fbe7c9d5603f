"""
The e-mails of campaigns: rendered from Django's templates, and opened by any mail client.

The one room of the sandbox that knows Django, and of Django only the templates.
"""

from __future__ import annotations

from promoportal.sandbox.mails.email_message import Email, Mail, is_address, render
from promoportal.sandbox.mails.template_lint import Names, WrongLine, mistakes

__all__ = ["Email", "Mail", "Names", "WrongLine", "is_address", "mistakes", "render"]
