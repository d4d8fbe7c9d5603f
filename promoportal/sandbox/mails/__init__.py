"""
E-mails of campaigns, rendered from Django templates into files for mail clients.

No other package of the sandbox uses Django, and this one only its templates.
"""

from __future__ import annotations

from promoportal.sandbox.mails.email_message import Email, Mail, is_address, render
from promoportal.sandbox.mails.template_lint import Names, WrongLine, mistakes

__all__ = ["Email", "Mail", "Names", "WrongLine", "is_address", "mistakes", "render"]
