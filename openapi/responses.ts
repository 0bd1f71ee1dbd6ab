import { Type, type TProperties, type TSchema } from 'typebox'
import { guidPattern } from '../src/broker/lib/identifiers.ts'
import { errorTable } from '../src/errors.ts'

/**
 * Schemas of response bodies, for `openapi.yaml` only: the broker does not load this file, and validates nothing by it.
 * Later versions may add fields to responses, so every object is open.
 */

/** An object to which later versions may add fields. */
export const open = (properties: TProperties, description?: string) =>
  Type.Object(properties, { additionalProperties: true, ...(description && { description }) })

/** Either this or `null`. */
export const orNull = (schema: TSchema, description: string) => Type.Union([schema, Type.Null()], { description })

/** A text. */
export const text = (description: string, examples?: readonly string[]) =>
  Type.String({ description, ...(examples && { examples: [...examples] }) })

/** A whole number, 0 or more by default. */
export const count = (description: string, minimum = 0) => Type.Integer({ minimum, description })

/** A date and time (RFC 3339). */
export const moment = (description: string) => Type.String({ format: 'date-time', description })

/** One of these words. */
export const oneOf = (words: readonly string[], description: string) =>
  Type.Unsafe<string>({ type: 'string', enum: words, description })

/** A GUID in any case. */
export const guid = (description: string) => Type.String({ pattern: `^${guidPattern}$`, description })

/** RFC 9457 problem details, as `problemOf` writes them. */
export const problem = open(
  {
    type: Type.String({
      format: 'uri',
      pattern: '^urn:token-broker:error:[a-z_]+$',
      description: '`urn:token-broker:error:` and the `code`.',
    }),
    title: text('The same for every occurrence of the code.'),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'The HTTP status.' }),
    detail: text('What was wrong this time, for people. The text may change.'),
    code: Type.String({
      pattern: '^[a-z_]+$',
      description:
        'What went wrong, for programs. Codes are stable. Later versions may add codes: handle an unknown one by its ' +
        'status.',
      examples: Object.keys(errorTable),
    }),
    request_id: text('The id of this request in the log and the audit log of the broker. Quote it in reports.'),
    trace_id: Type.Optional(
      text("The trace id of the request's `traceparent` (W3C Trace Context), if it is valid. The log has it too."),
    ),
    retry_after: Type.Optional(
      count('Seconds after which the same request may succeed, as in `Retry-After`. Absent if waiting cannot help.', 1),
    ),
    available_expires_in: Type.Optional(
      count('Seconds of life of the cached token, if that is less than the requested `min_expires_in`.'),
    ),
    remedy: Type.Optional(text('How a person can solve it, with the URL or the value if it is known.')),
    upstream: Type.Optional(
      open(
        {
          error: Type.Optional(text("Entra's OAuth error (RFC 6749 §5.2).")),
          codes: Type.Optional(Type.Array(Type.Integer(), { description: "AADSTS numbers, in Entra's order." })),
          trace_id: Type.Optional(text("Entra's trace id, for Microsoft's support.")),
          correlation_id: Type.Optional(text("Entra's correlation id.")),
        },
        'What Entra returned: numbers and ids, never its text.',
      ),
    ),
  },
  'Every error of the broker: problem details of RFC 9457, with `code` and `request_id`.',
)

/** 200 of `/livez`. */
export const liveness = open({ status: Type.Literal('ok') })
/** 200 and 503 of `/readyz`. */
export const readiness = open({ status: oneOf(['ready', 'not ready'], 'Whether the broker is ready.') })
