import type { AgentIdentity, Rule } from '../../model.ts'
import type { ReferenceCheck } from './references.ts'
import type { Path, PolicyText, SchemaError } from '../schema.ts'

/** Agent identities of Entra in the policy file (https://learn.microsoft.com/entra/agent-id/agent-identities). */

/**
 * The errors of the section `agents`, except for the form of its names. An id stands for one agent identity and for no
 * application: requests in Entra's protocol have nothing but an id.
 */
export function validateAgents(
  { agents = {}, applications }: PolicyText,
  checkReference: ReferenceCheck,
): readonly SchemaError[] {
  const taken = new Map(Object.entries(applications).map(([name, id]) => [id.toLowerCase(), `applications.${name}`]))
  return Object.entries(agents).flatMap(([name, { application, id, tenant }]) => {
    const at: Path = ['agents', name]
    const errors: SchemaError[] = []
    const unknown = checkReference('applications', application)
    if (unknown !== undefined) errors.push({ at: [...at, 'application'], what: unknown })
    const nowhere = tenant === undefined ? undefined : checkReference('tenants', tenant)
    if (nowhere !== undefined) errors.push({ at: [...at, 'tenant'], what: nowhere })
    const twin = taken.get(id.toLowerCase())
    if (twin !== undefined) errors.push({ at: [...at, 'id'], what: `is already the client id of ${twin}` })
    taken.set(id.toLowerCase(), `agents.${name}`)
    return errors
  })
}

/** What the names that an agent identity refers to stand for: ids in lower case. */
interface NamedIds {
  readonly applications: ReadonlyMap<string, string>
  readonly tenants: ReadonlyMap<string, string>
}

/** Compiles the section of a valid file. */
export const compileAgents = (
  agents: PolicyText['agents'] = {},
  { applications, tenants }: NamedIds,
): ReadonlyMap<string, AgentIdentity> =>
  new Map(
    Object.entries(agents).map(([name, { application, id, tenant }]) => [
      name,
      Object.freeze({
        application,
        clientId: applications.get(application) ?? '',
        id: id.toLowerCase(),
        ...(tenant !== undefined && { tenant: tenants.get(tenant) ?? tenant.toLowerCase() }),
      }),
    ]),
  )

/**
 * Warnings about rules with an agent identity whose tenant they do not list: such a rule grants nothing for it. Of a rule for
 * `*` that is not known, since it does not cover the home tenant.
 */
export const warningsOfAgents = (
  rules: readonly Rule[],
  agents: ReadonlyMap<string, AgentIdentity>,
): readonly string[] =>
  rules.flatMap(({ order, tenants, agents: listed = [] }) =>
    [...listed].flatMap(name => {
      const tenant = agents.get(name)?.tenant
      if (tenant === undefined || tenants === '*' || tenants.has(tenant)) return []
      return [`rules[${order}].agents: the rule does not list the tenant of "${name}", so it grants nothing for it`]
    }),
  )
