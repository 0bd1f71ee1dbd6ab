import type { Fault } from '../errors.ts'
import { nearestName } from './did-you-mean.ts'

/** As `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads variables one by one and collects what is wrong with them, so that all of it is told at once. An empty variable
 * counts as absent. After a fault a harmless stand-in is returned; the caller must look at {@link faults} before it uses
 * anything.
 */
export class EnvironmentReader {
  readonly faults: Fault[] = []
  readonly warnings: string[] = []
  readonly #environment: Environment
  readonly #read = new Set<string>()

  constructor(environment: Environment) {
    this.#environment = environment
  }

  fault(where: string, what: string): void {
    this.faults.push({ where, what })
  }

  text(name: string): string | undefined {
    this.#read.add(name)
    const value = this.#environment[name]
    return value === '' ? undefined : value
  }

  required(name: string, hint: string): string {
    const value = this.text(name)
    if (value === undefined) this.fault(name, `is required (${hint})`)
    return value ?? ''
  }

  /** A whole number. What Kubernetes injects for a Service of the same name (`tcp://…`) is passed over with a warning. */
  integer(name: string, otherwise: number, least: number, most: number): number {
    const value = this.text(name)
    if (value === undefined) return otherwise
    if (isServiceLink(value)) {
      this.warnings.push(
        `${name}=${value} comes from a Kubernetes Service and is ignored: set enableServiceLinks: false`,
      )
      return otherwise
    }
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    if (number >= least && number <= most) return number
    this.fault(name, `"${value}" is not a whole number from ${least} to ${most}`)
    return otherwise
  }

  boolean(name: string): boolean {
    const value = this.text(name)
    if (value !== undefined && value !== 'true' && value !== 'false') {
      this.fault(name, `"${value}" is neither true nor false`)
    }
    return value === 'true'
  }

  /** One of `choices`; the first of them by default. */
  choice<const T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    const value = this.text(name)
    const chosen = choices.find(choice => choice === value)
    if (value !== undefined && chosen === undefined) {
      this.fault(name, `"${value}" is none of ${choices.join(', ')}`)
    }
    return chosen ?? choices[0]
  }

  /**
   * Warns of variables that nothing asked for and that are misspelt or of another version: those with one of the prefixes,
   * and those whose name is nearly that of one that was asked for. Call it when everything was.
   */
  warnOfUnknown(prefixes: readonly string[]): void {
    for (const [name, value] of Object.entries(this.#environment)) {
      if (this.#read.has(name) || value === undefined) continue
      const ours = prefixes.some(prefix => name.startsWith(prefix))
      if (isServiceLink(value)) {
        if (ours) this.warnings.push(`${name} comes from a Kubernetes Service and is ignored`)
        continue
      }
      const meant = nearestName(name, this.#read)
      if (!ours && meant === undefined) continue
      const hint = meant === undefined ? '' : `: did you mean ${meant}?`
      this.warnings.push(`${name} is not a setting of this version and is ignored${hint}`)
    }
  }
}

const isServiceLink = (value: string): boolean => /^(tcp|udp|sctp):\/\//.test(value)
