import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyContextConfig } from 'fastify'
import type { Protocol } from './problems.ts'

/** A path of a request that matched no route. */
interface KnownPath {
  /** The methods of the routes with this path; `undefined` if there are none. */
  readonly methods: readonly string[] | undefined
  /** The protocol of the endpoint to which the path or a header belongs; `undefined` for problem details. */
  readonly protocol: Protocol | undefined
  /** A sentence with the path of the endpoint to which a header belongs, after a blank; empty if there is none. */
  readonly hint: string
  /** Where a browser that opens the origin is sent, as a relative reference; `undefined` for other requests, and without such a route. */
  readonly home: string | undefined
}

/** A route, or several routes with one path. */
interface Known {
  readonly parts: readonly string[]
  readonly methods: string[]
  readonly config: FastifyContextConfig
}

/** The paths of a server's routes: distinguishes a wrong method from a wrong path, and finds the protocol for both errors. */
export class KnownPaths {
  readonly #known = new Map<string, Known>()

  /** @param url a route's path; each parameter is a whole segment, such as `:tenant` */
  add(url: string, methods: readonly string[], config: FastifyContextConfig): void {
    const known = this.#known.get(url)
    if (known) known.methods.push(...methods)
    else this.#known.set(url, { parts: url.split('/'), methods: [...methods], config })
  }

  /**
   * @param url a request's target
   * @param headers its headers; they say more about the protocol of the client than a path that may be wrong
   */
  at(url: string, headers: IncomingHttpHeaders): KnownPath {
    const path = pathOf(url)
    const parts = path.split('/')
    const routes = [...this.#known.values()]
    const route = routes.find(known => fits(known.parts, parts))
    const marked = this.markedBy(headers)
    const hint = marked ? ` Send this request to ${marked.methods.join(', ')} ${written(marked.parts)}.` : ''
    const above = routes.find(({ config: { below } }) => below !== undefined && path.startsWith(below))
    const protocol = (marked ?? route ?? above)?.config.protocol
    const isOrigin = path === '/' && protocol === undefined
    const home = isOrigin
      ? routes
          .find(({ config: { isHome } }) => isHome)
          ?.parts.slice(1)
          .join('/')
      : undefined
    return { methods: route?.methods, protocol, hint, home }
  }

  /** The last route that has one of a request's headers among its `marks`. */
  markedBy(headers: IncomingHttpHeaders): Known | undefined {
    return [...this.#known.values()].findLast(({ config: { marks } }) =>
      marks?.some(name => headers[name] !== undefined),
    )
  }
}

/** A route's path, as documents write it. */
const written = (parts: readonly string[]): string => parts.map(part => part.replace(/^:(.+)$/, '{$1}')).join('/')

/** The path of a request's target (RFC 9112 §3.2), as it is written there. */
export const pathOf = (url: string): string => url.replace(/^https?:\/\/[^/?#]*/i, '').replace(/[?#].*$/, '')

/** Whether a path is a route's, byte for byte except for its parameters. */
export const isPathOf = (pattern: string, path: string): boolean => fits(pattern.split('/'), path.split('/'))

const fits = (pattern: readonly string[], parts: readonly string[]): boolean =>
  pattern.length === parts.length && pattern.every((part, i) => part.startsWith(':') || part === parts[i])
