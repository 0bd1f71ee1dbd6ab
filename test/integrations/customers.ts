import { parseAllDocuments } from 'yaml'
import { defaultResources, type EmulatorOptions, sample } from '../../emulator/options.ts'
import { isObject, type Json } from '../../emulator/jws.ts'
import { read } from '../support/sources.ts'

/** The server application of AKS (https://learn.microsoft.com/azure/aks/kubelogin-authentication). */
export const aks = '6dae42f8-4368-4678-94ff-3960e28e3630'

/** An emulator whose customers have consented to an API of the vendor and to AKS, besides Microsoft Graph. */
export const customers: EmulatorOptions = {
  tenants: [sample.contoso, sample.fabrikam].map(id => ({
    id,
    resources: [
      ...defaultResources,
      { uri: 'api://orders', appId: '50000000-0000-4000-8000-000000000002', tokenVersion: 2 },
      { uri: aks, appId: aks, tokenVersion: 1 },
    ],
  })),
}

/** The documents of an example in YAML. */
export const documentsOf = (file: string): readonly Json[] =>
  parseAllDocuments(read(`examples/${file}`)).map(each => each.toJS() as Json)

/** The value at a path of keys and indices. Throws an error if a key is missing. */
export function valueAt(value: unknown, ...path: readonly (string | number)[]): unknown {
  let found: unknown = value
  for (const key of path) {
    found = isObject(found) || Array.isArray(found) ? (found as Json)[key] : undefined
    if (found === undefined) throw new Error(`no ${key} of ${path.join('.')}`)
  }
  return found
}
