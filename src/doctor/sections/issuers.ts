import type { Clock } from '../../broker/lib/clock.ts'
import type { IssuerSettings, Policy } from '../../broker/policy/model.ts'
import type { Config } from '../../config/config.ts'
import { BrokerError, codeOf, messageOf } from '../../errors.ts'
import { RefusedDocumentError } from '../../outbound/issuers/document.ts'
import { connectIssuers, issuerFileErrors } from '../../outbound/issuers/issuer-keys.ts'
import type { Egress } from '../../outbound/network/egress.ts'
import { failed, notApplicable, ok, type Checks, type Line, type Result, type Step } from '../checks.ts'

/** Issuers that are checked. */
const maxIssuers = 20

/** Gets the keys of each issuer, as the broker does. */
export async function checkIssuers(
  checks: Checks,
  config: Step<Config>,
  policy: Step<Policy>,
  egress: (config: Config) => Egress,
  clock: Clock,
): Promise<void> {
  const issuers = policy.ok ? policy.value.issuers : []
  if (issuers.length === 0)
    await checks.run('issuers.keys', { config, policy }, () => notApplicable('the policy has no issuers'))
  for (const issuer of issuers.slice(0, maxIssuers)) {
    await checks.run(
      'issuers.keys',
      { config, policy },
      values => readKeys(issuer, values.config, egress(values.config), clock),
      65_000,
    )
  }
  const left = issuers.length - maxIssuers
  if (left > 0)
    checks.add('issuers.keys', {
      status: 'skipped',
      text: `${left} more issuers are not checked: only the first ${maxIssuers} of the policy are`,
    })
}

async function readKeys(
  issuer: IssuerSettings,
  { upstreamTimeoutMs: timeoutMs, policyFile }: Config,
  egress: Egress,
  clock: Clock,
): Promise<Result<true>> {
  const subject = issuer.name
  const fileErrors = await issuerFileErrors([issuer])
  if (fileErrors.length > 0) {
    const lines = fileErrors.map(({ where, what }): Line => ({
      status: 'failed',
      subject,
      text: `${where}: ${what}`,
      fix: [`correct ${where} in ${policyFile}, or mount the file`],
    }))
    return { lines, value: undefined }
  }
  const [connected] = await connectIssuers([issuer], { clock, egress, timeoutMs, upstreamCalled: () => undefined })
  try {
    await connected?.keys.ready()
    return ok(true, `the keys of ${issuer.issuer} are available`, subject)
  } catch (thrown) {
    const cause = thrown instanceof BrokerError ? (thrown.cause ?? thrown) : thrown
    return failed({ subject, text: messageOf(cause), ...adviceFor(cause, issuer) })
  }
}

const untrusted = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/

/** @param cause why the keys could not be fetched: the network's error is its own cause */
function adviceFor(
  cause: unknown,
  { name, issuer, jwksUri, jwksTokenFile }: IssuerSettings,
): Pick<Line, 'advice' | 'fix'> {
  const url = jwksUri ?? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const keys = 'kubectl get --raw /openid/v1/jwks > jwks.json'
  const useFile = `${keys}   # then issuers.${name}.jwksFile: /etc/token-broker/jwks.json`
  if (cause instanceof RefusedDocumentError && (cause.status === 401 || cause.status === 403)) {
    return {
      advice: 'The API server of a Kubernetes cluster refuses anonymous reads of its keys.',
      fix: [
        useFile,
        ...(jwksTokenFile === undefined
          ? [`issuers.${name}.jwksTokenFile: /var/run/secrets/tokens/issuer   # or this`]
          : []),
      ],
    }
  }
  const code = cause instanceof Error ? codeOf(cause.cause) : undefined
  if (code !== undefined && untrusted.test(code)) {
    return {
      advice:
        'The certificate of the server is issued by a CA that is not trusted here, as that of a Kubernetes cluster is.',
      fix: [`issuers.${name}.caFile: /etc/token-broker/${name}-ca.pem`],
    }
  }
  if (code !== undefined || (cause instanceof Error && cause.cause instanceof DOMException)) {
    return {
      advice: 'The broker cannot reach the issuer: a private cluster, or a firewall. With a file it need not.',
      fix: [`curl --verbose ${url}`, useFile],
    }
  }
  return { advice: `Compare issuers.${name} of the policy with what the issuer publishes.`, fix: [`curl ${url}`] }
}
