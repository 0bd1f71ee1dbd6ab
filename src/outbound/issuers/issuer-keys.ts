import { X509Certificate } from 'node:crypto'
import type { Issuer } from '../../broker/authentication/authenticate.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import { membersOf } from '../../broker/lib/json-members.ts'
import { fetchedJwks, fixedJwks, parseJwks, type PublishedKeys, type Jwks } from '../../broker/authentication/jwks.ts'
import { addressFault } from '../../broker/policy/validate.ts'
import type { IssuerSettings } from '../../broker/policy/model.ts'
import type { Events, FetchDocument, Upstream } from '../../broker/events.ts'
import { InvalidConfigurationError, messageOf, type ConfigurationError } from '../../errors.ts'
import { documentFetcher } from './document.ts'
import { readLimitedFile } from '../files/files.ts'

const maxFileBytes = 512 * 1024

/** What fetching issuers' keys needs. */
export interface IssuerKeysOptions {
  readonly clock: Clock
  /** Milliseconds for a fetch of keys, the discovery document included. */
  readonly timeoutMs: number
  readonly asked: Events['asked']
}

/** An issuer whose keys can be had, and what the policy says of it. */
export interface ConnectedIssuer extends Issuer {
  readonly settings: IssuerSettings
  /** The keys, where they are a file's. */
  readonly fileKeys: PublishedKeys | undefined
}

/**
 * The policy's issuers with the source of their keys. Key files are read now; what is fetched is fetched on use.
 *
 * @param before issuers of the version before: one that says the same, with the same keys in its file, stays the very
 *   same object, with the keys that it has
 * @throws InvalidConfigurationError naming every file that cannot be used
 */
export async function connectIssuers(
  settings: readonly IssuerSettings[],
  options: IssuerKeysOptions,
  before: readonly ConnectedIssuer[] = [],
): Promise<readonly ConnectedIssuer[]> {
  const faults: ConfigurationError[] = []
  const known = new Map(before.map(issuer => [JSON.stringify(issuer.settings), issuer]))
  const issuers = await Promise.all(
    settings.map(async issuer => {
      const fileKeys = await readFiles(issuer, faults)
      const same = known.get(JSON.stringify(issuer))
      if (same && same.fileKeys?.text === fileKeys?.text) return same
      if (fileKeys) options.asked(issuerUpstream(issuer), 0)
      const keys = fileKeys ? fixedJwks(fileKeys) : fetchedKeys(issuer, options)
      const { name, issuer: iss, audiences } = issuer
      return { name, issuer: iss, audiences, keys, settings: issuer, fileKeys }
    }),
  )
  if (faults.length > 0) throw new InvalidConfigurationError('The policy names files that cannot be used', faults)
  return issuers
}

/** An issuer as the one whose keys are asked for. */
export const issuerUpstream = ({ name }: Pick<IssuerSettings, 'name'>): Upstream => ({ kind: 'issuer', name })

/** Reads the files that an issuer names: the keys, where it names some. A CA file is only looked at. */
async function readFiles(
  { name, jwksFile, caFile }: IssuerSettings,
  faults: ConfigurationError[],
): Promise<PublishedKeys | undefined> {
  const orError = async <T>(key: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (thrown) {
      faults.push({ where: `issuers.${name}.${key}`, what: messageOf(thrown) })
      return undefined
    }
  }
  if (caFile !== undefined) await orError('caFile', () => readCa(caFile))
  if (jwksFile === undefined) return undefined
  return orError('jwksFile', async () => parseJwks(parseJson(await readLimitedFile(jwksFile, maxFileBytes))))
}

/** The CA file is read for each fetch, of which there are few: a new one needs no reload. */
function fetchedKeys(issuer: IssuerSettings, { clock, timeoutMs, asked }: IssuerKeysOptions): Jwks {
  const upstream = issuerUpstream(issuer)
  const { name, caFile } = issuer
  return fetchedJwks(
    name,
    async () => {
      const deadline = AbortSignal.timeout(timeoutMs)
      const ca = caFile === undefined ? undefined : await readCa(caFile)
      return fetchKeys(issuer, documentFetcher(deadline, ca))
    },
    clock,
    (seconds, error) => asked(upstream, seconds, error),
  )
}

/** The parser's own words would quote the file. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the file is not JSON')
  }
}

async function readCa(path: string): Promise<string> {
  const pem = await readLimitedFile(path, maxFileBytes)
  if (!isCertificate(pem)) throw new Error(`${path} does not hold a certificate in PEM form`)
  return pem
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined
  } catch {
    return false
  }
}

async function fetchKeys(issuer: IssuerSettings, fetchDocument: FetchDocument): Promise<unknown> {
  return fetchDocument(new URL(issuer.jwksUri ?? (await discoverKeys(issuer.issuer, fetchDocument))))
}

/** Where an issuer publishes its keys (OpenID Connect Discovery 1.0 §4). */
async function discoverKeys(issuer: string, fetchDocument: FetchDocument): Promise<string> {
  const document = await fetchDocument(new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`))
  const { issuer: named, jwks_uri: jwksUri } = membersOf(document)
  if (named !== issuer) throw new Error(`the discovery document of ${issuer} names another issuer`)
  if (typeof jwksUri !== 'string') throw new Error(`the discovery document of ${issuer} has no jwks_uri`)
  if (issuer.startsWith('https:') && !jwksUri.startsWith('https:')) {
    throw new Error(`the jwks_uri of ${issuer} is not https`)
  }
  const fault = addressFault(jwksUri)
  if (fault !== undefined) throw new Error(`the jwks_uri of ${issuer} ${fault}`)
  return jwksUri
}
