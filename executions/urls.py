from __future__ import annotations

from django.urls import path

from executions.webhooks import Webhook

# With and without the trailing slash: a redirect would lose Optimove's POST.
urlpatterns = [
    path("webhooks/optimove/<str:secret>/", Webhook.as_view(), name="webhook"),
    path("webhooks/optimove/<str:secret>", Webhook.as_view()),
]
