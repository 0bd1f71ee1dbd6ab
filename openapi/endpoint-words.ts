import type { TSchema } from 'typebox'
import { tokenEndpoints } from '../src/http/token-endpoints/all.ts'
import type { Description } from './components.ts'

/** What `openapi.yaml` has about a token endpoint, beyond what the endpoint itself declares. */
export interface EndpointWords {
  /** By `operationId`: the endpoint's own, and those of its protocol's discovery documents. */
  readonly operations: Readonly<Record<string, Description>>
  /** By their names under `components`: the bodies of its responses, and of errors if the protocol is its own. */
  readonly schemas: Readonly<Record<string, TSchema>>
}

const readWords = async (name: string): Promise<EndpointWords> => {
  const module = (await import(`./token-endpoints/${name.replaceAll('_', '-')}.ts`)) as { words: EndpointWords }
  return module.words
}

/**
 * The texts of every token endpoint, in the order of the list. Those of `oauth_token` are in
 * `token-endpoints/oauth-token.ts`, and so on: a missing file is an error.
 */
export const endpointWords: readonly EndpointWords[] = await Promise.all(
  tokenEndpoints().map(({ name }) => readWords(name)),
)
