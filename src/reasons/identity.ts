import { outside, reason, type ReasonRow } from './row.ts'

const identity = outside('identity', true)

/** Reasons for which there is no token of the broker's own identity, so that there is no exchange. */
export const identityReasons = {
  network: reason(
    identity,
    "the identity endpoint cannot be reached; `cause` has the system's code",
    'do not set `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, because the platform sets them; restart the replica',
  ),
  timeout: reason(
    identity,
    'the endpoint did not respond within four fifths of `BROKER_UPSTREAM_TIMEOUT_MS`',
    'if it does not pass, restart the replica',
  ),
  refused: reason(
    identity,
    'the endpoint responded 400 or another 4xx: the app does not have the identity. This **does not pass by itself**, although callers get `Retry-After`',
    'assign the identity to the app, or correct `BROKER_IDENTITY_CLIENT_ID`: the client id, not the principal id. If it is assigned, correct `BROKER_IDENTITY_AUDIENCE`',
  ),
  identity_header: reason(
    identity,
    'the endpoint responded 401 or 403: it does not accept `IDENTITY_HEADER`. This **does not pass by itself**',
    'do not set `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`: the platform sets both, with another header for each replica. Remove them from the settings of the app, and restart the replica. The assignment of the identity is not the cause',
  ),
  identity_endpoint: reason(
    identity,
    'the endpoint responded 404, 405 or 410: nothing issues tokens at the URL in `IDENTITY_ENDPOINT`. This **does not pass by itself**',
    'do not set `IDENTITY_ENDPOINT`: the platform sets it. In a service mesh, check that the request reaches the platform',
  ),
  status: reason(identity, 'the endpoint responded 429, 5xx or a redirect', 'wait: it is a problem of the platform'),
  unusable: reason(
    identity,
    'the endpoint responded 200 without a valid token or expiry: a text of visible ASCII, and `expires_on` as seconds since 1970 or a date, within seven days',
    'do what `remedy` says; without one, restart the replica, and check that nothing else listens at `IDENTITY_ENDPOINT`',
  ),
  expired: reason(
    identity,
    "the identity's token has already expired by this machine's clock, so it is not sent",
    "compare this machine's clock with the real time. If it is right: restart the replica; AKS: the kubelet has not replaced the file of `AZURE_FEDERATED_TOKEN_FILE`; the next request reads it again",
  ),
  file: reason(
    identity,
    'AKS: the file with the service-account token cannot be read, or contains no JWT with an expiry',
    'check `AZURE_FEDERATED_TOKEN_FILE`, and the label `azure.workload.identity/use: "true"` of the pod and its service account',
  ),
  identity_unavailable: reason(
    outside('policy', true),
    'the broker does not know its own tenant yet, so it cannot decide whether a rule for `"*"` covers the requested tenant',
    'look for `not ready yet`; it passes with the first identity token',
  ),
} as const satisfies Readonly<Record<string, ReasonRow>>
