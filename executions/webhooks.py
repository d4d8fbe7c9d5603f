"""The webhook endpoint: it stores a delivery and responds. A job parses the body."""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions import signals
from executions.authentication import AuthenticatedListener, ListenerAuthentication
from executions.models import Delivery
from executions.request_body import read_body

logger = logging.getLogger(__name__)


class DeliveryNotStored(APIException):
    """The delivery was not stored because of a database error: send it again."""

    status_code = 503
    default_detail = "The delivery could not be kept; send it again."


class Webhook(APIView):
    """The endpoint for webhook deliveries, with the secret of a listener in its URL."""

    http_method_names = ["post"]
    authentication_classes = [ListenerAuthentication]
    permission_classes = []
    parser_classes = []
    renderer_classes = [JSONRenderer]

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[Any, str]:
        """Ignore the `Accept` header, so that its value never causes a 406."""
        return JSONRenderer(), JSONRenderer.media_type

    def post(self, request: Request, **kwargs: Any) -> Response:
        sender: AuthenticatedListener = request.user  # type: ignore[assignment]
        delivery = receive(
            sender,
            body=read_body(request.META),
            content_type=request.META.get("CONTENT_TYPE", ""),
        )
        return Response({"status": "kept", "delivery": delivery.pk})

    def handle_exception(self, exc: Exception) -> Response:
        # A 503 tells the sender that the delivery is not stored.
        if isinstance(exc, DatabaseError | InterfaceError):
            logger.error("delivery.unkept", exc_info=exc)
            exc = DeliveryNotStored()
        return super().handle_exception(exc)


def receive(
    sender: AuthenticatedListener, *, body: bytes, content_type: str
) -> Delivery:
    """Store a delivery and queue its processing, in one transaction."""
    with transaction.atomic():
        delivery = Delivery.objects.create(
            listener=sender.listener,
            body=body,
            content_type=content_type.replace("\0", "")[:200],
            verdict=sender.verdict,
        )
        signals.delivered.send(Delivery, row=delivery)
    logger.info(
        "delivery.kept", extra={"delivery": delivery.pk, "listener": sender.listener.pk}
    )
    return delivery
