import { hash } from 'node:crypto'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { InvalidConfigurationError, type ConfigurationError } from '../../../errors.ts'
import type { Policy } from '../model.ts'
import { validatePolicy } from './validate.ts'
import { compilePolicy } from './compile.ts'
import { readLeniently } from './lenient-read.ts'
import { readYaml } from './read-yaml.ts'
import { policyFileSchema, type Path, type PolicyText, type SchemaError } from './schema.ts'
import { schemaErrors } from './schema-errors.ts'

/** Bytes of the largest policy that is read. */
export const maxPolicyBytes = 16 * 1024 * 1024

/** Errors that are collected and listed. A larger list helps no reader, and would fill the log. TypeBox stops at eight by default. */
const maxErrors = 10_000
Settings.Set({ maxErrors })
const schema = Compile(policyFileSchema)

/**
 * Parses, validates and compiles the text of a policy file. The result is frozen.
 *
 * @throws InvalidConfigurationError with every error, each with its path, line and column
 */
export const parsePolicy = (text: string): Policy => compilePolicy(readPolicyText(text), versionOf(text))

/** The version of a policy: SHA-256 of its text, in hex. */
export const versionOf = (text: string): string => hash('sha256', text, 'hex')

/**
 * Parses and validates the text of a policy file, the part of {@link parsePolicy} that takes long.
 *
 * @throws InvalidConfigurationError with every error, each with its path, line and column
 */
export function readPolicyText(text: string): PolicyText {
  const { value, locate } = readYaml(text)
  if (!schema.Check(value)) throw invalid(errorsOf(value).map(locate))
  const errors = validatePolicy(value)
  if (errors.length > 0) throw invalid(listed(errors).map(locate))
  return value
}

const invalid = (errors: readonly ConfigurationError[]) =>
  new InvalidConfigurationError('The policy is invalid', errors)

/** The errors of a file that does not have the schema's shape: those of the schema, and those of meaning elsewhere. */
function errorsOf(value: unknown): readonly SchemaError[] {
  const all = schema.Errors(value)
  const ofSchema = schemaErrors(policyFileSchema, all, value)
  // A value that breaks the schema is not validated further, nor is anything within it.
  const broken = new Set(ofSchema.map(({ at }) => JSON.stringify(at)))
  const isBroken = (at: Path): boolean => at.some((_, nth) => broken.has(JSON.stringify(at.slice(0, nth + 1))))
  const ofMeaning = validatePolicy(readLeniently(value)).filter(({ at }) => !broken.has('[]') && !isBroken(at))
  return listed([...ofSchema, ...ofMeaning, ...(all.length < maxErrors ? [] : [more])])
}

const more: SchemaError = { at: [], what: 'has more errors than are listed here' }

/** As many errors as are listed, and a note if there are more. Never empty. */
const listed = (errors: readonly SchemaError[]): readonly SchemaError[] =>
  errors.length > maxErrors || errors.length === 0 ? [...errors.slice(0, maxErrors), more] : errors
