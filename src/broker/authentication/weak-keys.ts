import type { JWK } from 'jose'

/**
 * Whether everybody can sign with a public key, because its private key is trivial or can be computed: an RSA key whose
 * exponent is not an odd number from 3 to 2^64, whose modulus is even, or that has the fingerprint of ROCA; an Ed25519 key
 * of low order. It does not check the length of RSA keys, which jose does, and finds no other weak keys, such as those
 * with a common prime.
 */
export function isWeakKey({ kty, crv, n, e, x }: JWK): boolean {
  if (kty === 'RSA') return typeof n === 'string' && typeof e === 'string' && isWeakRsa(numberOf(n), numberOf(e))
  return kty === 'OKP' && crv === 'Ed25519' && typeof x === 'string' && isLowOrder(Buffer.from(x, 'base64url'))
}

/** A big-endian number in base64url (RFC 7518 §2). */
function numberOf(text: string): bigint {
  const hex = Buffer.from(text, 'base64url').toString('hex')
  return hex === '' ? 0n : BigInt(`0x${hex}`)
}

/** With e = 1 each signature is its own message; with an even e the key is not RSA at all (RFC 8017 §3.1). */
function isWeakRsa(n: bigint, e: bigint): boolean {
  return e < 3n || e % 2n === 0n || e >= 2n ** 64n || n % 2n === 0n || hasRocaFingerprint(n)
}

/** The primes of the ROCA fingerprint. */
const primes = [
  3n,
  5n,
  7n,
  11n,
  13n,
  17n,
  19n,
  23n,
  29n,
  31n,
  37n,
  41n,
  43n,
  47n,
  53n,
  59n,
  61n,
  67n,
  71n,
  73n,
  79n,
  83n,
  89n,
  97n,
  101n,
  103n,
  107n,
  109n,
  113n,
  127n,
  131n,
  137n,
  139n,
  149n,
  151n,
  157n,
  163n,
  167n,
]

/** For each prime, the powers of 65537 modulo the prime. */
const powers = primes.map(prime => {
  const found = new Set<bigint>()
  for (let power = 1n; !found.has(power); power = (power * 65_537n) % prime) found.add(power)
  return [prime, found] as const
})

/**
 * ROCA (CVE-2017-15361): the library made primes that are powers of 65537 modulo the product of small primes, and so is
 * their product. A random modulus has the fingerprint once in 2^27 or less.
 */
const hasRocaFingerprint = (n: bigint): boolean => powers.every(([prime, found]) => found.has(n % prime))

/** 2^255 - 19. */
const field = 2n ** 255n - 19n
/** The y coordinate of a point of order 8. */
const order8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n

/** The y coordinates of the points whose order is 8 or less. Forged signatures are valid under such a key. */
const lowOrder = new Set([0n, 1n, field - 1n, order8, field - order8])

/** Reads y without its sign bit (RFC 8032 §5.1.3); encodings that are not reduced count too. */
function isLowOrder(encoded: Buffer): boolean {
  const y = BigInt(`0x0${Buffer.from(encoded.toReversed()).toString('hex')}`) & (2n ** 255n - 1n)
  return lowOrder.has(y % field)
}
