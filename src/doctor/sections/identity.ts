import type { Assertion } from '../../broker/events.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import { withDeadline } from '../../broker/lib/async/deadline.ts'
import type { Config, IdentitySettings } from '../../config/config.ts'
import type { Environment } from '../../config/environment.ts'
import { asBrokerError, BrokerError, codeOf, type ConfigurationError } from '../../errors.ts'
import { managedIdentity } from '../../outbound/entra/managed-identity.ts'
import { workloadIdentity } from '../../outbound/entra/workload-identity.ts'
import { failed, ok, type Checks, type Result, type Step } from '../checks.ts'
import { remedyOfReason, textOfFailure } from '../failure-lines.ts'
import { readClaims, type IdentityFacts } from '../identity-claims.ts'
import { platformOf, type Platform } from '../platform.ts'

/** The share of an exchange's time that a broker gives the identity endpoint. */
const identityShare = 0.8

/** Gets the token of the identity, as the broker does, and compares its claims with what Entra needs. */
export async function checkIdentity(
  checks: Checks,
  config: Step<Config>,
  platformErrors: readonly ConfigurationError[],
  clockStep: Step<true>,
  { environment, clock }: { readonly environment: Environment; readonly clock: Clock },
): Promise<Step<IdentityFacts>> {
  const platform = platformOf(environment)
  const endpoint = await checks.run('identity.endpoint', { config }, ({ config: { identity } }) => {
    const [missing] = platformErrors
    if (missing) return absent(identity, missing, platform)
    return ok(
      true,
      identity.source === 'managed-identity'
        ? `IDENTITY_ENDPOINT is ${identity.endpoint}`
        : `the token is in ${identity.tokenFile}`,
    )
  })
  const token = await checks.run(
    'identity.token',
    { config, endpoint },
    async ({ config: { identity, upstreamTimeoutMs } }) => {
      try {
        const ms = upstreamTimeoutMs * identityShare
        const assertion = await withDeadline(
          signal => fetchToken(identity, clock, signal),
          ms,
          () => noResponse(ms),
        )
        const minutes = Math.round((assertion.expiresAt - clock.now()) / 60_000)
        return ok(assertion, `the identity has a token, which ends in ${minutes} minutes`)
      } catch (thrown) {
        return refused(asBrokerError(thrown), platform)
      }
    },
    65_000,
  )
  return checks.run('identity.claims', { config, token }, values =>
    readClaims(values.token, values.config.identity, clockStep.ok ? clock.now() : undefined),
  )
}

const noResponse = (ms: number) =>
  new BrokerError('identity_unavailable', `The identity endpoint did not respond within ${ms} ms.`, {
    reason: 'timeout',
  })

function fetchToken(identity: IdentitySettings, clock: Clock, signal: AbortSignal): Promise<Assertion> {
  if (identity.source === 'managed-identity') return managedIdentity(identity, clock)(signal)
  const { tokenFile, homeTenant } = identity
  return workloadIdentity(tokenFile, homeTenant, { clock, fetched: () => undefined }).get(signal)
}

/** The platform has not set its variables: every cause of that, in the order in which people should look. */
function absent({ source }: IdentitySettings, { where, what }: ConfigurationError, platform: Platform): Result<never> {
  if (source === 'workload-identity') {
    return failed({
      text: `${where} ${what}`,
      advice:
        'The webhook of AKS sets it when the pod is created, if the pod and its service account have their label and annotation.',
      fix: [
        'az aks update --name CLUSTER --resource-group GROUP --enable-oidc-issuer --enable-workload-identity',
        platform.restart,
      ],
    })
  }
  if (what.includes('workload-identity')) {
    return failed({
      text: `${where} ${what}`,
      advice: 'This container has the variables of AKS workload identity.',
      fix: ['BROKER_IDENTITY_SOURCE=workload-identity'],
    })
  }
  const { app, kind, restart } = platform
  return failed({
    text: `${where} ${what}`,
    advice:
      (kind === 'unknown' ? 'Run this in the container of the broker. If it is that, there are three causes. ' : '') +
      'No user-assigned identity is assigned to the app; or its lifecycle in identitySettings is None or Init, so that the ' +
      'main container has none; or it was assigned after this replica started, and Container Apps restarts none for that.',
    fix: [
      `az containerapp show ${app} --query "{identity:identity, lifecycles:properties.configuration.identitySettings}"`,
      `az containerapp identity assign ${app} --user-assigned IDENTITY_RESOURCE_ID   # if it is not there`,
      kind === 'container-apps'
        ? `${restart}   # if it is, with lifecycle All or Main`
        : `az containerapp revision restart ${app} --revision REVISION   # if it is`,
    ],
  })
}

/** The error of the identity, with the remedy of its reason, and what restarts the replica. */
function refused(error: BrokerError, platform: Platform): Result<never> {
  const code = codeOf(error.cause)
  const line = {
    text: `${textOfFailure(error)}${code === undefined ? '' : ` (${code})`}`,
    advice: error.parts.remedy ?? remedyOfReason(error),
  }
  const { kind, restart } = platform
  if (error.reason !== 'refused') return failed({ ...line, fix: [restart] })
  const assign =
    'az containerapp identity assign --name APP --resource-group GROUP --user-assigned IDENTITY_RESOURCE_ID'
  return failed({
    ...line,
    fix: [
      'az identity list --query "[].{name:name, clientId:clientId}" --output table   # BROKER_IDENTITY_CLIENT_ID must be one',
      ...(kind === 'kubernetes' ? [] : [`${assign}   # then: ${restart}`]),
    ],
  })
}
