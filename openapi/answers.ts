import { Type, type TProperties, type TSchema } from 'typebox'
import { guidPattern } from '../src/broker/lib/identifiers.ts'
import { errorTable } from '../src/errors.ts'

/**
 * Bodies of the answers to callers, for `openapi.yaml` only: no request loads this file, and nothing is checked by it.
 * Answers may get further members, so every object is open.
 */

/** An object that may get further members. */
export const open = (properties: TProperties, description?: string) =>
  Type.Object(properties, { additionalProperties: true, ...(description && { description }) })

export const orNull = (schema: TSchema, description: string) => Type.Union([schema, Type.Null()], { description })

export const text = (description: string, examples?: readonly string[]) =>
  Type.String({ description, ...(examples && { examples: [...examples] }) })

export const count = (description: string, minimum = 0) => Type.Integer({ minimum, description })

export const moment = (description: string) => Type.String({ format: 'date-time', description })

/** The word of a closed set. */
export const oneOf = (words: readonly string[], description: string) =>
  Type.Unsafe<string>({ type: 'string', enum: words, description })

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
    detail: text('What was wrong this time. For people: the words may change.'),
    code: Type.String({
      pattern: '^[a-z_]+$',
      description:
        'What went wrong, for programs: stable. Later versions may have more codes; judge one that you do not know by ' +
        'the status.',
      examples: Object.keys(errorTable),
    }),
    request_id: text('What the log and the audit trail of the broker have of this request, too. Quote it.'),
    retry_after: Type.Optional(
      count(
        'Seconds after which the same request may succeed, as in `Retry-After`. Absent where waiting cannot help.',
        1,
      ),
    ),
    available_expires_in: Type.Optional(
      count('Seconds of life of the token that is held, where that is less than the `min_expires_in` asked for.'),
    ),
    remedy: Type.Optional(text('What a person can do about it, with the URL or the value where it is known.')),
    upstream: Type.Optional(
      open(
        {
          error: Type.Optional(text("Entra's OAuth error (RFC 6749 §5.2).")),
          codes: Type.Optional(Type.Array(Type.Integer(), { description: "AADSTS numbers, in Entra's order." })),
          trace_id: Type.Optional(text("Entra's trace id, for Microsoft's support.")),
          correlation_id: Type.Optional(text("Entra's correlation id.")),
        },
        'What Entra said: numbers and ids, never its text.',
      ),
    ),
  },
  'Every error of the broker: problem details of RFC 9457, with `code` and `request_id`.',
)

/** 200 of `POST /tokens`. */
export const token = open(
  {
    access_token: text("Entra's access token for the tenant, as Entra issued it. A secret."),
    token_type: Type.Literal('Bearer', { description: 'How the token is used (RFC 6750).' }),
    expires_in: count('Seconds until the token expires.'),
    expires_on: count('When the token expires, in seconds since 1970.'),
    refresh_in: count('Seconds until the broker expects to have a newer token: ask again then.'),
    tenant: guid('The tenant that the token is for: its id, in lower case.'),
    scope: text('As asked for.'),
    application: text("The application's name in the policy."),
  },
  'A token of one application for one tenant and resource.',
)

/** 200 of `/livez`; of `/readyz`, and its 503. */
export const liveness = open({ status: Type.Literal('ok') })
export const readiness = open({ status: oneOf(['ready', 'not ready'], 'The verdict, and nothing else.') })
