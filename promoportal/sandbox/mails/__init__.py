"""
E-mails of campaigns, rendered from Django templates into files for mail clients.

This is the only package of the sandbox that uses Django, and it uses only the
templates.
"""

from __future__ import annotations

from promoportal.sandbox.mails.email_message import Email, Mail, is_address, render
from promoportal.sandbox.mails.template_lint import Names, WrongLine, mistakes

__all__ = ["Email", "Mail", "Names", "WrongLine", "is_address", "mistakes", "render"]
