from __future__ import annotations

from django.apps import AppConfig


class RedemptionsConfig(AppConfig):
    name = "redemptions"
