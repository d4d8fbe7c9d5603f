"""
Emails of campaigns: Django templates, and the rendered email as a file for mail clients.

This is the only package of the sandbox that uses Django, and it uses only Django's
templates.
"""

from __future__ import annotations

from promoportal.sandbox.mails.email_message import Email, Mail, is_address, render
from promoportal.sandbox.mails.template_lint import Names, WrongLine, mistakes

__all__ = ["Email", "Mail", "Names", "WrongLine", "is_address", "mistakes", "render"]
