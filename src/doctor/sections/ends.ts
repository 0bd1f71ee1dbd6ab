import type { X509Certificate } from 'node:crypto'
import { endState } from '../../broker/ends.ts'
import { keyWarnings } from '../../broker/policy/file/entries/api-keys.ts'
import { policyWarnings } from '../../broker/policy/file/warnings.ts'
import type { Policy } from '../../broker/policy/model.ts'
import type { Config } from '../../config/config.ts'
import { InvalidConfigurationError } from '../../errors.ts'
import { readAuthorities } from '../../outbound/files/client-authorities.ts'
import { readTlsPair } from '../../outbound/files/tls-files.ts'
import { notApplicable, ok, type Checks, type Line, type Result, type Step } from '../checks.ts'

/** Reads the broker's own certificate and the authorities of client certificates, and looks at what ends soon. */
export async function checkEnds(
  checks: Checks,
  config: Step<Config>,
  policy: Step<Policy>,
  now: () => number,
): Promise<void> {
  await checks.run('settings.certificate', { config }, ({ config: { tls } }) =>
    tls === undefined
      ? notApplicable('no certificate: a proxy terminates TLS, or the broker listens on loopback')
      : readable(async () => {
          const { certificates } = await readTlsPair(tls)
          const what = (nth: number, each: X509Certificate) =>
            nth === 0 ? 'the certificate' : `the CA ${nameOf(each)}`
          return worst(certificates.map((each, nth) => certificateLine(what(nth, each), each, now(), 'failed')))
        }),
  )
  await checks.run('settings.client-ca', { config }, ({ config: { clientCaFile } }) =>
    clientCaFile === undefined
      ? notApplicable('no client certificates: TLS_CLIENT_CA_FILE is not set')
      : readable(async () => {
          const { certificates } = await readAuthorities(clientCaFile)
          const lines = certificates.map(each => certificateLine(`the CA ${nameOf(each)}`, each, now(), 'warning'))
          const { status, ...line } = worst(lines)
          return status === 'ok' ? { status, text: `${lines.length} client CAs` } : { status, ...line }
        }),
  )
  await checks.run('settings.callers', { config, policy }, values => {
    const certificates = values.config.clientCaFile !== undefined
    const ends = keyWarnings(values.policy.apiKeys, now())
    // Those of the policy itself are lines of settings.policy.
    const known = new Set(values.policy.warnings)
    const others = policyWarnings(values.policy, { now: now(), certificates }).filter(text => !known.has(text))
    const lines = others.map((text): Line => {
      const fix = ends.includes(text)
        ? 'token-broker key new, and enter the new hash as next of the key (docs/callers.md)'
        : `correct ${values.config.policyFile}`
      return { status: 'warning', text, fix: [fix] }
    })
    const well = ok(true, `${values.policy.apiKeys.length} API keys, none of which ends within 14 days`)
    return lines.length === 0 ? well : { lines, value: true }
  })
}

/** One line, or a line for each file that cannot be used. */
async function readable(read: () => Promise<Line>): Promise<Result<true>> {
  try {
    return { lines: [await read()], value: true }
  } catch (thrown) {
    if (!(thrown instanceof InvalidConfigurationError)) throw thrown
    const lines = thrown.errors.map(({ where, what }): Line => ({
      status: 'failed',
      subject: where,
      text: what,
      fix: [`replace the files of ${where}; openssl x509 -in CERT -noout -subject -dates shows a certificate`],
    }))
    return { lines, value: undefined }
  }
}

/** @param ended the status of a certificate that has ended */
function certificateLine(what: string, certificate: X509Certificate, now: number, ended: 'failed' | 'warning'): Line {
  const { validTo, validToDate, validFromDate } = certificate
  const left = validToDate.getTime() - now
  const fix = ['renew it, and replace the file: it is read again without a restart']
  const state = endState(validToDate.getTime(), now)
  if (state === 'ended') return { status: ended, text: `${what} has ended (${validTo})`, fix }
  if (validFromDate.getTime() > now) return { status: ended, text: `${what} is not valid yet`, fix }
  if (state === 'ends_soon')
    return { status: 'warning', text: `${what} ends in ${Math.floor(left / 86_400_000)} days (${validTo})`, fix }
  return { status: 'ok', text: `${what} ends on ${validToDate.toISOString().slice(0, 10)}` }
}

/** The line that matters most: the first that failed, else the first warning, else the first. */
const worst = (lines: readonly Line[]): Line =>
  lines.find(({ status }) => status === 'failed') ??
  lines.find(({ status }) => status === 'warning') ??
  lines[0] ?? { status: 'ok', text: 'no certificate' }

const nameOf = ({ subject }: X509Certificate): string => subject.replaceAll('\n', ', ')
