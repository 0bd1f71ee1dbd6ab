import type { AgentIdentity } from '../model.ts'
import type { ReferenceCheck } from './references.ts'
import type { Path, PolicyText, SchemaError } from './schema.ts'

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
  return Object.entries(agents).flatMap(([name, { application, id }]) => {
    const at: Path = ['agents', name]
    const errors: SchemaError[] = []
    const unknown = checkReference('applications', application)
    if (unknown !== undefined) errors.push({ at: [...at, 'application'], what: unknown })
    const twin = taken.get(id.toLowerCase())
    if (twin !== undefined) errors.push({ at: [...at, 'id'], what: `is already the client id of ${twin}` })
    taken.set(id.toLowerCase(), `agents.${name}`)
    return errors
  })
}

/**
 * Compiles the section of a valid file.
 * @param applications name → client id in lower case
 */
export const compileAgents = (
  agents: PolicyText['agents'] = {},
  applications: ReadonlyMap<string, string>,
): ReadonlyMap<string, AgentIdentity> =>
  new Map(
    Object.entries(agents).map(([name, { application, id }]) => [
      name,
      Object.freeze({ application, clientId: applications.get(application) ?? '', id: id.toLowerCase() }),
    ]),
  )
