from __future__ import annotations

from django.urls import path

from executions.webhooks import Webhook

# With or without its last slash: a redirect would lose the vendor's POST.
urlpatterns = [
    path("webhooks/optimove/<str:secret>/", Webhook.as_view(), name="webhook"),
    path("webhooks/optimove/<str:secret>", Webhook.as_view()),
]
