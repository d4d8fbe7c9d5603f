"""Emails of campaigns: Django templates, and rendered emails for mail clients."""

from __future__ import annotations

from promoportal.sandbox.mails.email_message import Email, Mail, is_address, render
from promoportal.sandbox.mails.template_lint import Names, WrongLine, mistakes

__all__ = ["Email", "Mail", "Names", "WrongLine", "is_address", "mistakes", "render"]
