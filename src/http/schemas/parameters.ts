import { Type } from 'typebox'
import { guidPattern, namePattern, scopeOrNamePattern, tenantPattern } from '../../broker/lib/identifiers.ts'

/** Parameters that several endpoints have, as their schemas describe them. */

/** One tenant. */
export const tenant = Type.String({
  maxLength: 63,
  pattern: `^${tenantPattern}$`,
  description: "A tenant id, or a tenant's name in the policy.",
})

/** One resource. */
export const scope = Type.String({
  maxLength: 489,
  pattern: `^${scopeOrNamePattern}$`,
  description:
    "One resource's `<resource>/.default`, compared and cached byte for byte; or a scope's name in the policy.",
})

/** An application or an agent identity, where it is named by its client id only. */
export const clientId = Type.String({
  pattern: `^${guidPattern}$`,
  description: 'The client id of an application or an agent identity.',
})

/** An agent identity of Entra. */
export const agent = Type.Optional(
  Type.String({
    maxLength: 63,
    pattern: `^${namePattern}$`,
    description:
      'The name of an agent identity in the policy, or its client id in lower case. It excludes `application`, since an ' +
      'agent identity has one: its blueprint.',
  }),
)

/** An optional text. */
export const optionalText = (description: string) => Type.Optional(Type.String({ description }))

/** The fields of a client's authentication (RFC 6749 §2.3, RFC 7521 §4.2). */
export const clientAuthentication = {
  client_assertion: optionalText("The caller's own token, where it is not in `Authorization`."),
  client_assertion_type: optionalText(
    '`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`.',
  ),
  client_secret: optionalText('An API key of the policy, where it is not the password of HTTP Basic.'),
}

/** The parameters of a path that names the tenant. */
export const tenantPath = Type.Object({ tenant })
