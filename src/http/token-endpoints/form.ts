import type { FastifyInstance } from 'fastify'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { checkPlainText } from './text-body.ts'

/** The parameters of a form (RFC 6749 appendix B). One without a value counts as absent (RFC 6749 §3.2). */
export class Form {
  readonly #values = new Map<string, string>()
  readonly #repeated = new Set<string>()

  /** @param text `application/x-www-form-urlencoded`; what is malformed in it becomes part of a value */
  constructor(text = '') {
    for (const [name, value] of new URLSearchParams(text)) {
      if (this.#values.has(name)) this.#repeated.add(name)
      else this.#values.set(name, value)
    }
  }

  get(name: string): string | undefined {
    const value = this.#values.get(name)
    return value === '' ? undefined : value
  }

  isRepeated(name: string): boolean {
    return this.#repeated.has(name)
  }

  /** Throws `invalid_request` when a parameter is there more than once (RFC 6749 §3.2). */
  refuseRepeated(): void {
    const [name] = this.#repeated
    if (name === undefined) return
    throw new BrokerError('invalid_request', `The parameter ${JSON.stringify(name.slice(0, 64))} is there twice.`)
  }
}

/** Makes the routes of a scope read forms and nothing else. */
export function readForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (request, text, done) => {
      try {
        checkPlainText(request)
        done(null, new Form(text))
      } catch (thrown) {
        done(asBrokerError(thrown))
      }
    },
  )
}

const noForm = new Form()

/** A request's form; without parameters where no body came. */
export const formOf = (body: unknown): Form => (body instanceof Form ? body : noForm)
