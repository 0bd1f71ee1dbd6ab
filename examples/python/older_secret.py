# An older library: Entra's v1 protocol, with an API key as the client secret.
import os

import adal

from show import show

authority = f"{os.environ['BROKER']}/{os.environ['TENANT']}"


def get_token(scope):
    context = adal.AuthenticationContext(authority, validate_authority=False)
    return context.acquire_token_with_client_credentials(
        scope.removesuffix("/.default"), os.environ["CLIENT_ID"], os.environ["API_KEY"]
    )["accessToken"]


show(get_token)
