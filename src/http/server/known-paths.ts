import type { FastifyContextConfig } from 'fastify'
import type { AnswerError } from './problems.ts'

/** What is known of a path that no route took. */
interface KnownPath {
  /** The methods that it answers; `undefined` where nothing has this path. */
  readonly methods: readonly string[] | undefined
  /** The way of the endpoint that the path is of, if it has one of its own. */
  readonly answerError: AnswerError | undefined
}

interface Known {
  readonly parts: readonly string[]
  readonly methods: string[]
  readonly config: FastifyContextConfig
}

/** The paths of a server's routes, to tell a wrong method from a wrong path and to answer both as the endpoint does. */
export class KnownPaths {
  readonly #known = new Map<string, Known>()

  /** @param url a route's path, whose parameters are whole parts such as `:tenant` */
  add(url: string, methods: readonly string[], config: FastifyContextConfig): void {
    const known = this.#known.get(url)
    if (known) known.methods.push(...methods)
    else this.#known.set(url, { parts: url.split('/'), methods: [...methods], config })
  }

  /** @param path without a query */
  at(path: string): KnownPath {
    const parts = path.split('/')
    const routes = [...this.#known.values()]
    const route = routes.find(known => fits(known.parts, parts))
    if (route) return { methods: route.methods, answerError: route.config.answerError }
    const above = routes.find(({ config: { below } }) => below !== undefined && path.startsWith(below))
    return { methods: undefined, answerError: above?.config.answerError }
  }
}

const fits = (pattern: readonly string[], parts: readonly string[]): boolean =>
  pattern.length === parts.length && pattern.every((part, i) => part.startsWith(':') || part === parts[i])
