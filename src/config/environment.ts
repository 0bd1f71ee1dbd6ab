import type { ConfigurationError } from '../errors.ts'
import { hasCredential, redactCredentials } from '../broker/lib/text/credential-shapes.ts'
import { namesWithTheSameWords, nearestName } from '../broker/lib/text/did-you-mean.ts'

/** Environment variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads variables one by one and collects their errors, so that all of them are reported together. An empty variable
 * counts as absent. For an invalid variable the default is returned; the caller must check {@link errors} before it uses
 * any value.
 */
export class EnvironmentReader {
  /** The errors so far, in the order in which variables were read. */
  readonly errors: ConfigurationError[] = []
  /** Problems so far that do not prevent a start. */
  readonly warnings: string[] = []
  readonly #environment: Environment
  readonly #read = new Set<string>()
  /** Required variables that are absent. */
  readonly #absent = new Set<string>()

  /** @param environment is only read, never changed */
  constructor(environment: Environment) {
    this.#environment = environment
  }

  /** @param where the variable's name */
  addError(where: string, what: string): void {
    this.errors.push({ where, what })
  }

  /**
   * The variable's text; `undefined` if it is absent or empty. A credential in it is an error, and is not in the text,
   * since an error or a warning may repeat the text. {@link secret} reads a variable that must be a credential.
   */
  text(name: string): string | undefined {
    const value = this.secret(name)
    if (value === undefined || !hasCredential(value)) return value
    const what = name.endsWith('_FILE')
      ? 'looks like a token or an API key; give the path of a file that contains it'
      : 'looks like a token or an API key, which does not belong here'
    if (!this.errors.some(error => error.where === name && error.what === what)) this.addError(name, what)
    return redactCredentials(value)
  }

  /** The variable's text, which may be a credential and must not be repeated; `undefined` if it is absent or empty. */
  secret(name: string): string | undefined {
    this.#read.add(name)
    const value = this.#environment[name]
    return value === '' ? undefined : value
  }

  /**
   * The variable's text; an error and an empty text if it is absent or empty.
   *
   * @param hint what the variable is, or who sets it
   */
  required(name: string, hint: string): string {
    return this.#present(name, hint, this.text(name))
  }

  /** The same as {@link required} for a {@link secret}. */
  requiredSecret(name: string, hint: string): string {
    return this.#present(name, hint, this.secret(name))
  }

  #present(name: string, hint: string, value: string | undefined): string {
    if (value === undefined) {
      this.#absent.add(name)
      this.addError(name, `is required (${hint})`)
    }
    return value ?? ''
  }

  /** A whole number. A value that Kubernetes sets for a Service of that name (`tcp://…`) is ignored with a warning. */
  integer(name: string, defaultValue: number, least: number, most: number): number {
    const value = this.text(name)
    if (value === undefined) return defaultValue
    if (isServiceLink(value)) {
      this.warnings.push(
        `${name}=${value} comes from a Kubernetes Service and is ignored; set enableServiceLinks: false`,
      )
      return defaultValue
    }
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    if (number >= least && number <= most) return number
    this.addError(name, `must be a whole number from ${least} to ${most}; got "${value}"`)
    return defaultValue
  }

  /** Whether the variable is `true`. Absent is false; any other value than `true` and `false` is an error. */
  boolean(name: string): boolean {
    const value = this.text(name)
    if (value !== undefined && value !== 'true' && value !== 'false') {
      this.addError(name, `must be true or false; got "${value}"`)
    }
    return value === 'true'
  }

  /** One of `choices`. The first is the default. */
  choice<const T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    return this.optionalChoice(name, choices) ?? choices[0]
  }

  /** One of `choices`; `undefined` if it is absent or empty. */
  optionalChoice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.text(name)
    const chosen = choices.find(choice => choice === value)
    if (value !== undefined && chosen === undefined) {
      this.addError(name, `must be one of ${choices.join(', ')}; got "${value}"`)
    }
    return chosen
  }

  /**
   * Adds a warning for each variable that was not read and is probably misspelt or of another version: it has one of
   * the prefixes, its name is nearly that of a variable that was read, or it is a part of the name of a required variable
   * that is absent. The error about that variable names it too. Call it after all variables were read.
   */
  warnOfUnknown(prefixes: readonly string[]): void {
    for (const [name, value] of Object.entries(this.#environment)) {
      if (this.#read.has(name) || value === undefined) continue
      const hasPrefix = prefixes.some(prefix => name.startsWith(prefix))
      if (isServiceLink(value)) {
        if (hasPrefix) this.warnings.push(`${name} comes from a Kubernetes Service and is ignored`)
        continue
      }
      const meant = this.#meant(name, hasPrefix)
      if (!hasPrefix && meant.length === 0) continue
      const hint = meant.length === 0 ? '' : ` (did you mean ${meant.join(' or ')}?)`
      this.warnings.push(`${name} is not a setting of this version and is ignored${hint}`)
      this.#explainAbsence(name, meant)
    }
  }

  /** The variables of which a name is probably a misspelling. Unrelated programs have variables with the same words. */
  #meant(name: string, hasPrefix: boolean): readonly string[] {
    const nearest = nearestName(name, this.#read)
    if (nearest !== undefined) return [nearest]
    return namesWithTheSameWords(name, hasPrefix ? this.#read : this.#absent)
  }

  /** An invalid configuration is reported without its warnings. */
  #explainAbsence(name: string, meant: readonly string[]): void {
    for (const [nth, { where, what }] of this.errors.entries()) {
      if (!meant.includes(where) || !this.#absent.has(where)) continue
      this.errors[nth] = { where, what: `${what}; ${name} is set, which is not a setting of this version` }
    }
  }
}

const isServiceLink = (value: string): boolean => /^(tcp|udp|sctp):\/\//.test(value)
