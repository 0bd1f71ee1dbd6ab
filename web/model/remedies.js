/**
 * What to do about a reason, where the broker's response has no remedy of its own. docs/errors.md explains each reason.
 * @import { Reason } from '../../src/errors.ts'
 */

/** @type {Partial<Record<Reason, string>>} */
const byReason = {
  // The exchange with Entra.
  federation:
    "Compare the application's federated credential with the managed identity: issuer, subject (its principal id) and audience. Entra needs some minutes to apply a change.",
  assertion:
    "Compare this machine's clock with the real time. Then restart the replica, so that it gets a new identity token.",
  agent_identity:
    'Compare `id` and `application` of the agent identity under `agents` in the policy with Entra. It has one blueprint and one tenant.',
  agent_assertion: "Compare this machine's clock with the real time.",
  client: 'Look up the AADSTS number at https://login.microsoftonline.com/error.',
  cloud: 'Correct the tenant id: the tenant is in another national cloud than `BROKER_AUTHORITY`.',
  consent:
    'An administrator of the tenant must consent to the application again. Check Enterprise applications in that tenant.',
  request: 'Compare the tenant id and the scope with the policy. Check that the tenant has the resource.',
  unknown:
    'Look up the AADSTS number at https://login.microsoftonline.com/error. Check Conditional Access of the tenant.',
  network: 'Check DNS, firewall, `HTTPS_PROXY` and `NO_PROXY` from the network of the broker.',
  timeout:
    'Check the latency of the network, and the status page of Azure. Raise `BROKER_UPSTREAM_TIMEOUT_MS` only if callers can wait.',
  server_error: 'Check the status page of Azure. There is nothing to change here until it recovers.',
  throttled:
    'Find the cause of so many requests: many tenants at once after a start, or a client that bypasses the broker.',
  transient: 'Wait. If it does not pass, give the trace id in the audit log to the support of Microsoft.',
  loop: 'Find out why this token is requested so often: replicas that restart, or a token that lives only seconds.',
  circuit_open:
    'Check the network to Entra and the status page of Azure. The broker tries again by itself every few seconds.',
  unreadable: 'A proxy probably responds in place of Entra: let `BROKER_AUTHORITY` through.',
  redirect: 'A proxy probably responds in place of Entra: let `BROKER_AUTHORITY` through.',
  wrong_tenant: 'Act at once: a proxy between the broker and Entra may mix up responses.',
  wrong_application: 'Act at once: a proxy between the broker and Entra may mix up responses.',
  wrong_audience:
    'Act at once: a proxy may mix up responses. For an API of your own, compare the scope with its Application ID URI.',
  wrong_expiry: "Compare this machine's clock with the real time.",
  wrong_kind: 'Act at once: Entra issued a token of a user. Check what is between the broker and Entra.',
  expired: "Compare this machine's clock with the real time.",
  no_expiry: 'Check whether a proxy responds in place of Entra. If not, contact the support of Microsoft.',
  malformed_token: 'Check whether a proxy responds in place of Entra. If not, contact the support of Microsoft.',
  not_bearer: 'Check whether a proxy responds in place of Entra. If not, contact the support of Microsoft.',
  min_expires_in: 'The client must use a smaller `min_expires_in`, or try again later.',
  aborted: 'Wait: it passes. If it does not, report it as a bug.',
  internal_error: 'This is a bug: report it, with the line of the log. Restart the replica if it repeats.',
  // The identity endpoint.
  identity_endpoint:
    'Do not set `IDENTITY_ENDPOINT`: the platform sets it. In a service mesh, check that the request reaches the platform.',
  identity_unavailable: 'Wait for the first token of the managed identity. Its tile, below, shows its state.',
  refused:
    'Assign the managed identity to the app, or correct `BROKER_IDENTITY_CLIENT_ID` (the client id, not the principal id).',
  status: 'Wait: the platform has a problem. Check the health of the Container Apps environment or the node.',
  file: 'Check `AZURE_FEDERATED_TOKEN_FILE`, and the label of the pod and its service account.',
  // Issuers.
  keys: "Read the issuer's discovery document or `jwksUri` from the network of the broker.",
  issuer_unavailable: "Read the issuer's discovery document or `jwksUri` from the network of the broker.",
  // Limits.
  requests:
    'That caller must keep its tokens for `refresh_in` seconds. Raise `requestLimit` of its rule only if the load is intended.',
  exchanges: 'That caller requests many different tokens. Raise `exchangeLimit` of its rule only if that is intended.',
  tenant:
    'The callers of that tenant must keep their tokens for `refresh_in` seconds. Raise `tenantLimit` of the policy only if the load is intended.',
  bad_credentials:
    'Look for `caller.refused` with this address in the audit log: it sends many credentials with invalid signatures.',
  queue:
    'Entra is slow, or one caller requests too many new tokens at once. Raise `BROKER_UPSTREAM_CONCURRENCY`, or add replicas.',
  // The policy.
  no_rule:
    'Compare the caller, tenant, scope and application with the rules: `token-broker policy explain` says which part does not match.',
  denied: 'A `deny` entry of the policy matches. Change it if that is not intended.',
  unknown_target:
    'The policy does not define this tenant, scope, application or agent identity. Correct the request, or add it to the policy.',
  other_tenant:
    'The policy says under `agents` in which tenant this agent identity exists. Request the token there, or correct `tenant` of its entry.',
  unknown_client_id:
    'No application and no agent identity of the policy has this client id. Correct the client, or add the application.',
}

const restartLast = 'Restart the replica only if other replicas get tokens, or once no token is cached here.'
const checkPlatform =
  'Check the health of the Container Apps environment or the node: it provides the identity endpoint.'

/** What to do about the identity endpoint, in this order. It has some reasons in common with Entra, and other remedies. */
const ofIdentity = /** @type {Partial<Record<string, readonly string[]>>} */ ({
  network: [
    'Check that the configuration does not set `IDENTITY_ENDPOINT`: the platform sets it. In a service mesh, let requests to it through.',
    checkPlatform,
    restartLast,
  ],
  timeout: [checkPlatform, restartLast],
  expired: ["Compare this machine's clock with the real time.", restartLast],
  unusable: ['Check what responds at `IDENTITY_ENDPOINT`: nothing else than the platform may.', restartLast],
  identity_header: [
    'Remove `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` from the configuration: the platform sets them.',
    'Restart the replica after that.',
  ],
})

const general = 'Look up the reason in docs/errors.md, and the request in the audit log.'

/**
 * The remedy of a reason, in one or two sentences.
 * @param {Reason} reason
 */
export const remedyOf = reason => byReason[reason] ?? ofIdentity[reason]?.join(' ') ?? general

/**
 * What to do about the managed identity, in this order.
 * @param {Reason} reason
 * @returns {readonly string[]}
 */
export const identitySteps = reason => ofIdentity[reason] ?? [remedyOf(reason)]
