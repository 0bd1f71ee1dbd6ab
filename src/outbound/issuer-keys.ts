import { X509Certificate } from 'node:crypto'
import type { Issuer } from '../broker/authenticate.ts'
import type { Clock } from '../broker/clock.ts'
import { membersOf } from '../broker/narrow.ts'
import { fetchedKeySet, fixedKeySet, parseKeys, type KeySet } from '../broker/key-set.ts'
import { addressFault } from '../broker/policy-check.ts'
import type { IssuerSettings } from '../broker/policy.ts'
import type { Events, FetchDocument, Upstream } from '../broker/types.ts'
import { FaultsError, messageOf, type Fault } from '../errors.ts'
import { documentFetcher } from './document.ts'
import { readLimitedFile } from './files.ts'

const maxFileBytes = 512 * 1024

export interface IssuerKeysOptions {
  readonly clock: Clock
  /** Milliseconds for one document. */
  readonly timeoutMs: number
  readonly asked: Events['asked']
}

/**
 * The policy's issuers with the source of their keys. Files are read now; what is fetched is fetched on use.
 * @throws FaultsError naming every file that cannot be used
 */
export async function connectIssuers(
  settings: readonly IssuerSettings[],
  options: IssuerKeysOptions,
): Promise<readonly Issuer[]> {
  const faults: Fault[] = []
  const issuers = await Promise.all(
    settings.map(async issuer => ({ ...issuer, keys: await keysOf(issuer, options, faults) })),
  )
  if (faults.length > 0) throw new FaultsError('The policy names files that cannot be used', faults)
  return issuers
}

/** An issuer as the one whose keys are asked for. */
export const issuerUpstream = ({ name }: Pick<IssuerSettings, 'name'>): Upstream => ({ kind: 'issuer', name })

async function keysOf(issuer: IssuerSettings, options: IssuerKeysOptions, faults: Fault[]): Promise<KeySet> {
  const orFault = async <T>(key: 'jwksFile' | 'caFile', read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (thrown) {
      faults.push({ where: `issuers.${issuer.name}.${key}`, what: messageOf(thrown) })
      return undefined
    }
  }
  const { jwksFile, caFile } = issuer
  const upstream = issuerUpstream(issuer)
  if (jwksFile !== undefined) {
    const keys = await orFault('jwksFile', async () =>
      parseKeys(parseJson(await readLimitedFile(jwksFile, maxFileBytes))),
    )
    if (keys) {
      options.asked(upstream, 0)
      return fixedKeySet(keys)
    }
  }
  const ca = caFile === undefined ? undefined : await orFault('caFile', () => readCa(caFile))
  const fetchDocument = documentFetcher(options.timeoutMs, ca)
  return fetchedKeySet(
    issuer.name,
    () => fetchKeys(issuer, fetchDocument),
    options.clock,
    (seconds, error) => options.asked(upstream, seconds, error),
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
