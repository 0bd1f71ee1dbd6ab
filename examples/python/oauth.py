# A standard OAuth library: token exchange (RFC 8693) with the workload's own token as subject token.
import os
from pathlib import Path

from authlib.integrations.requests_client import OAuth2Session

from show import show


def get_token(scope):
    session = OAuth2Session(client_id="unused", token_endpoint_auth_method="none")
    token = session.fetch_token(
        os.environ["BROKER"] + "/oauth2/token",
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=Path(os.environ["TOKEN_FILE"]).read_text().strip(),
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        tenant=os.environ["TENANT"],
        scope=scope,
    )
    return token["access_token"]


show(get_token)
