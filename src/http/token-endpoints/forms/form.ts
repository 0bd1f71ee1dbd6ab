import type { TSchema } from 'typebox'
import { BrokerError } from '../../../errors.ts'
import type { RequestBody } from '../token-endpoint.ts'

/** The parameters of a form (RFC 6749 appendix B). One without a value counts as absent (RFC 6749 §3.2). */
export class Form {
  readonly #values = new Map<string, string>()
  readonly #repeated = new Set<string>()

  /** @param text `application/x-www-form-urlencoded`; malformed parts become part of a value */
  constructor(text = '') {
    for (const [name, value] of new URLSearchParams(text)) {
      if (this.#values.has(name)) this.#repeated.add(name)
      else this.#values.set(name, value)
    }
  }

  /** The parameter's first value; `undefined` if it is absent or empty. */
  get(name: string): string | undefined {
    const value = this.#values.get(name)
    return value === '' ? undefined : value
  }

  /** Whether the form has the parameter more than once. */
  isRepeated(name: string): boolean {
    return this.#repeated.has(name)
  }

  /** Throws `invalid_request` if the form has any parameter more than once (RFC 6749 §3.2). */
  refuseRepeated(): void {
    const [name] = this.#repeated
    if (name === undefined) return
    throw new BrokerError('invalid_request', `The parameter ${JSON.stringify(name.slice(0, 64))} appears twice.`)
  }
}

/**
 * The body of requests whose parameters are in a form. {@link formOf} reads it.
 *
 * @param schema its parameters
 */
export const formBody = (schema: TSchema): RequestBody => ({
  mediaType: 'application/x-www-form-urlencoded',
  parse: bytes => new Form(bytes.toString()),
  schema,
})

const noForm = new Form()

/** The form of a request; one without parameters if the request has no body. */
export const formOf = ({ body }: { readonly body?: unknown }): Form => (body instanceof Form ? body : noForm)
