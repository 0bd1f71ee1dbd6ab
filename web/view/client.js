/**
 * Requests to the broker, with a credential that only this closure has.
 * @import { Client, Query, Responses } from '../model/responses.ts'
 * @typedef {{ title: string, status: number, code: string, detail?: string, remedy?: string, request_id?: string, retry_after?: number }} Problem
 */

/** Milliseconds in which a response must have arrived completely. */
const deadlineMs = 8_000

/** The broker responded with an error (RFC 9457). */
export class ProblemError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title)
    this.problem = problem
  }
}

/** There was no response of the broker: it cannot be reached, or not in time, or something else responded. */
export class NoResponseError extends Error {
  /**
   * @param {string} message
   * @param {boolean} [isLate] whether it did not respond in time: the next request may succeed
   */
  constructor(message, isLate = false) {
    super(message)
    this.isLate = isLate
  }
}

/**
 * Creates a client. The paths are relative to the page, so it works below a path of a proxy too.
 *
 * @param {string} credential what follows `Bearer `
 * @param {typeof fetch} [send]
 * @returns {Client}
 */
export function createClient(credential, send = fetch) {
  let authorization = `Bearer ${credential}`
  const stop = new AbortController()
  /**
   * @template {keyof Responses} Path
   * @param {string} method
   * @param {Path} path
   * @param {Query} query
   */
  const request = async (method, path, query) => {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(deadlineMs)])
    try {
      const response = await send(path + searchOf(query), {
        method,
        signal,
        headers: { authorization, accept: 'application/json' },
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
        referrerPolicy: 'no-referrer',
      })
      return await read(path, response)
    } catch (thrown) {
      if (thrown instanceof ProblemError || thrown instanceof NoResponseError) throw thrown
      throw signal.aborted
        ? new NoResponseError('It did not respond in time.', true)
        : new NoResponseError('It cannot be reached.')
    }
  }
  return {
    get: (path, query = {}) => request('GET', path, query),
    purge: async query => (await request('DELETE', 'tokens', query)).body,
    forget: () => {
      authorization = ''
      stop.abort()
    },
  }
}

/** @param {Query} query */
function searchOf(query) {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`
}

/** Fields that each response has. Others are a sign of another version of the broker, or of something in its place. */
const fields = {
  health: ['policy', 'upstreams', 'ends', 'replica'],
  cache: ['entries', 'max_entries', 'failures'],
  'cache/entries': ['entries', 'next_cursor'],
  'cache/failures': ['failures', 'next_cursor'],
  decisions: ['decisions', 'next_cursor'],
  tokens: ['dropped', 'replicas'],
}

/**
 * @template {keyof Responses} Path
 * @param {Path} path
 * @param {Response} response
 */
async function read(path, response) {
  /** @type {unknown} */
  const body = await response.json().catch(() => undefined)
  if (!response.ok && isRecord(body)) throw new ProblemError(problemOf(body, response.status))
  if (!isResponse(path, body))
    throw new NoResponseError(
      `Something else responded (HTTP ${response.status}), or another version: load the page again.`,
    )
  const date = Date.parse(response.headers.get('date') ?? '')
  return { body, now: Number.isNaN(date) ? Date.now() : date }
}

/**
 * @template {keyof Responses} Path
 * @param {Path} path
 * @param {unknown} body
 * @returns {body is Responses[Path]}
 */
const isResponse = (path, body) => isRecord(body) && fields[path].every(name => name in body)

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
const isRecord = value => typeof value === 'object' && value !== null

/**
 * @param {Record<string, unknown>} body
 * @param {number} status
 * @returns {Problem}
 */
function problemOf(body, status) {
  /** @param {string} name */
  const text = name => (typeof body[name] === 'string' ? { [name]: body[name] } : {})
  return {
    title: `HTTP ${status}`,
    code: '',
    status,
    ...text('title'),
    ...text('code'),
    ...text('detail'),
    ...text('remedy'),
    ...text('request_id'),
  }
}
