import { X509Certificate } from 'node:crypto'

const pattern = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/**
 * Reads every certificate of a PEM text, in its order; empty if it has none.
 * @throws Error if one of them cannot be parsed
 */
export const certificatesOf = (pem: string): readonly X509Certificate[] =>
  Object.freeze((pem.match(pattern) ?? []).map(each => new X509Certificate(each)))
