import { BrokerError } from '../../../errors.ts'
import type { Form } from './form.ts'

/**
 * Scopes of OpenID Connect, which MSAL for Go and for Java and other libraries add to every request. They have no meaning
 * without a user.
 */
const userScopes = new Set(['openid', 'profile', 'offline_access'])

/** A scope (RFC 6749 §3.3) without the scopes of users. What remains may be empty, or more than one scope. */
export function withoutUserScopes(text: string | undefined): string | undefined {
  // Most requests have one scope, which needs no list.
  if (text === undefined || (!text.includes(' ') && !userScopes.has(text))) return text
  return text
    .split(' ')
    .filter(each => !userScopes.has(each))
    .join(' ')
}

/** The scope of a resource: the text itself if it is a scope, else with `/.default` appended, byte for byte. */
export const scopeOfResource = (resource: string): string =>
  resource.endsWith('/.default') ? resource : `${resource}/.default`

/** Parameters that name a resource in place of `scope` (RFC 8707 §2, RFC 8693 §2.1). */
const targetNames = ['resource', 'audience'] as const

/** Whether a form names a resource in another parameter than `scope`. Its errors are then `invalid_target` (RFC 8707 §2). */
export const namesTarget = (form: Form): boolean =>
  targetNames.some(name => form.get(name) !== undefined || form.isRepeated(name))

/**
 * The one scope that a form names, in `scope`, `resource` or `audience`; `undefined` if it names none. Several scopes in
 * `scope` are returned as they are, for the check of the request to refuse.
 *
 * @throws BrokerError `invalid_scope` if `resource` or `audience` is repeated, or if the parameters name different scopes:
 *   a token is for one resource
 */
export function scopeOf(form: Form): string | undefined {
  const scope = withoutUserScopes(form.get('scope'))
  const written = scope === '' ? undefined : scope
  if (!namesTarget(form)) return written
  const repeated = targetNames.find(name => form.isRepeated(name))
  if (repeated !== undefined) throw severalTargets(`${repeated} appears more than once`)
  const targets = targetNames.flatMap(name => form.get(name) ?? []).map(scopeOfResource)
  const named = new Set([...(written === undefined ? [] : [written]), ...targets])
  if (named.size > 1) throw severalTargets('scope, resource and audience name different ones')
  return targets[0]
}

const severalTargets = (why: string) => new BrokerError('invalid_scope', `A token is for one resource, but ${why}.`)
