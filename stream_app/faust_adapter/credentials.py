"""How the clients that Faust makes itself connect to Kafka."""

from typing import Any

from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from infra.runtime.addresses import KafkaAccess
from infra.runtime.kafka_access import access_options


def credentials_of(access: KafkaAccess) -> Any:
    """The same as all other clients have it, in Faust's terms; None where nothing is asked.

    Raises:
        AccessError: A certificate or key cannot be used.
    """
    options = access_options(access)
    context = options.get("ssl_context")
    if not access.has_login:
        return SSLCredentials(context) if access.has_tls else None
    if access.login == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    return SASLCredentials(
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=context,
        mechanism=options["sasl_mechanism"],
    )
