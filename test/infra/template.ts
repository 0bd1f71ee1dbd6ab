import { isObject, membersOf } from '../../src/broker/lib/json-members.ts'
import { read } from '../support/sources.ts'

/** A JSON object of a template or a snapshot. */
export type Json = Readonly<Record<string, unknown>>

/** A resource that a deployment makes, as `bicep snapshot` predicts it. Text in brackets is known at deployment only. */
export interface Resource {
  readonly id: string
  readonly type: string
  readonly name: string
  readonly tags?: Readonly<Record<string, string>>
  readonly properties: Json
  readonly [more: string]: unknown
}

/** What the deployment of a set of parameters makes. */
export interface Snapshot {
  /** `main` or `full`. */
  readonly set: string
  readonly text: string
  readonly resources: readonly Resource[]
  readonly outputs: Readonly<Record<string, unknown>>
  /** All resources of a type, without its version. */
  all(type: string): readonly Resource[]
  /** The only resource of a type, or the one with that name. */
  one(type: string, name?: string): Resource
}

const snapshotOf = (set: string): Snapshot => {
  const text = read(`infra/${set}.snapshot.json`)
  const { predictedResources, outputs } = JSON.parse(text) as {
    readonly predictedResources: readonly Resource[]
    readonly outputs: Json
  }
  const all = (type: string) => predictedResources.filter(each => each.type === type)
  return {
    set,
    text,
    resources: predictedResources,
    outputs,
    all,
    one: (type, name) => {
      const [found, ...more] = all(type).filter(each => name === undefined || each.name === name)
      if (found === undefined || more.length > 0)
        throw new Error(`${set}: ${found === undefined ? 'no' : 'more than one'} ${type} ${name ?? ''}`)
      return found
    },
  }
}

/** The smallest set of parameters, and the one with every part switched on. */
export const [small, full] = [snapshotOf('main'), snapshotOf('full')]
export const snapshots = [small, full]

/** A value below an object: `at(app, 'properties', 'template')`. Throws if it is absent. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let found = value
  for (const key of path) {
    found = Array.isArray(found) ? (found as unknown[])[Number(key)] : membersOf(found)[key]
    if (found === undefined) throw new Error(`nothing at ${path.join('.')}`)
  }
  return found
}

/** A list of objects below an object. */
export const listAt = (value: unknown, ...path: readonly (string | number)[]): readonly Json[] =>
  at(value, ...path) as readonly Json[]

/** A template of main.json: the file's own, or one of a module. */
export interface Template {
  /** The modules on the way to it. */
  readonly path: string
  readonly parameters: Readonly<Record<string, { readonly type?: string; readonly $ref?: string }>>
  readonly outputs: Readonly<Record<string, { readonly type: string; readonly value: unknown }>>
  readonly resources: readonly Json[]
}

/** The compiled main.bicep. */
export const compiled: unknown = JSON.parse(read('infra/main.json'))

/** Every template of main.json. */
export const templates: readonly Template[] = [...templatesOf(compiled, 'main')]

function* templatesOf(value: unknown, path: string): Generator<Template> {
  const { parameters = {}, outputs = {}, resources = [] } = membersOf(value)
  const list = (Array.isArray(resources) ? resources : Object.values(membersOf(resources))) as Json[]
  yield { path, parameters, outputs, resources: list } as Template
  for (const resource of list) {
    const { template } = membersOf(resource['properties'])
    if (resource['type'] === 'Microsoft.Resources/deployments' && isObject(template))
      yield* templatesOf(template, `${path} → ${String(resource['name'])}`)
  }
}
