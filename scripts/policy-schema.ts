import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { policySchema } from '../src/broker/policy/file/schema.ts'

/** `node scripts/policy-schema.ts` writes policy.schema.json, which editors use to complete and check policy files. */
const file = join(import.meta.dirname, '../policy.schema.json')
const style = await resolveConfig(file)
writeFileSync(file, await format(JSON.stringify(policySchema), { ...style, filepath: file }))
