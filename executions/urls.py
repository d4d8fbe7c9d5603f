from __future__ import annotations

from django.urls import re_path

from executions.webhooks import Webhook

# With or without its last slash: a redirect would lose the vendor's POST.
urlpatterns = [
    re_path(
        r"^webhooks/optimove/(?P<secret>[^/]+)/?\Z", Webhook.as_view(), name="webhook"
    )
]
