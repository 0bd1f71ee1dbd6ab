// Before a deployment: refuses a policy that the broker would refuse, or that decides something else than
// policy-cases.yaml says. Runs with any Node from version 20.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const [policy, cases] = ['infra/policy.yaml', 'infra/policy-cases.yaml']

/** Runs a command in the project's folder. Ends this process with its exit code if it fails. */
function run(command, args, env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (error) console.error(`hooks: ${command} does not run: ${error.message}`)
  if (status !== 0) process.exit(status ?? 1)
}

// main.bicep replaces the placeholders only if it creates the registrations.
if (process.env.BROKER_REGISTRATIONS === 'false') {
  const placeholders = readFileSync(join(root, policy), 'utf8').match(/^[^#\n]*\b0{8}-0{4}-0{4}-0{4}-0{11}[abcd]\b/m)
  if (placeholders) {
    console.error(`hooks: ${policy} has a placeholder, which nothing replaces with BROKER_REGISTRATIONS=false:`)
    console.error(`  ${placeholders[0].trim()}`)
    process.exit(1)
  }
}

run(process.execPath, ['scripts/setup.mjs'])
const pinned = { PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}` }
run('node', ['src/cli.ts', 'policy', 'check', policy], pinned)
run('node', ['src/cli.ts', 'policy', 'test', policy, cases], pinned)
