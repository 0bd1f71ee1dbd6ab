import assert from 'node:assert/strict'
import type { Reply } from '../support/broker.ts'

/** Long enough not to appear by chance, short enough to find a piece of a secret that was wrapped or cut. */
const pieceLength = 24

/** The pieces of a secret that must not appear: a JWT's header is none, what it says and its signature are. */
function piecesOf(secret: string): string[] {
  const [head = '', ...rest] = secret.split('.')
  const texts = rest.length === 2 && head.startsWith('eyJ') ? rest : [secret]
  return texts.flatMap(text => text.match(new RegExp(`.{1,${pieceLength}}`, 'g')) ?? []).filter(isTelling)
}

/** The end of a text may be a few characters that are anywhere. */
const isTelling = (piece: string): boolean => piece.length >= 16

/** Collects secrets and everything that was put out, and finds the former in the latter. */
export class Leaks {
  readonly #secrets = new Map<string, string>()
  readonly #outputs: (readonly [where: string, text: string])[] = []

  secret(name: string, value: string): void {
    assert.ok(piecesOf(value).length > 0, `${name} is too short to search for`)
    this.#secrets.set(value, name)
  }

  output(where: string, text: string): void {
    this.#outputs.push([where, text])
  }

  /** A response. The `access_token` of a 200 is a secret, and the only place where a secret may be. */
  response(where: string, { status, headers, text, json }: Reply): void {
    const token = status === 200 ? json['access_token'] : undefined
    if (typeof token === 'string') this.secret('an access token', token)
    const rest = typeof token === 'string' ? text.replace(JSON.stringify(token), '""') : text
    this.output(where, `${rest}\n${JSON.stringify(headers)}`)
  }

  /** What was found, as "which secret in which output". */
  found(): string[] {
    const pieces = [...this.#secrets].flatMap(([value, name]) => piecesOf(value).map(piece => [name, piece] as const))
    const found = this.#outputs.flatMap(([where, text]) =>
      pieces.filter(([, piece]) => text.includes(piece)).map(([name]) => `${name} in ${where}`),
    )
    return [...new Set(found)]
  }
}
