// After a deployment: starts the job that runs "token-broker doctor" beside the broker, and prints what it says. Ends with 1
// if the doctor finds something wrong. Needs the Azure CLI, and any Node from version 20.
import { spawnSync } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'

const {
  BROKER_DOCTOR_JOB: job = '',
  AZURE_RESOURCE_GROUP: group = '',
  AZURE_SUBSCRIPTION_ID: subscription,
} = process.env
const numberOf = (name, defaultValue) =>
  /^\d{1,3}$/.test(process.env[name] ?? '') ? Number(process.env[name]) : defaultValue
/** A new federated credential takes minutes to become effective, so that the first attempt often fails. */
const attempts = Math.max(1, numberOf('BROKER_DOCTOR_ATTEMPTS', 4))
const pauseSeconds = numberOf('BROKER_DOCTOR_PAUSE_SECONDS', 60)
const pollSeconds = numberOf('BROKER_DOCTOR_POLL_SECONDS', 5)
/** The job's own limit is five minutes; starting it takes time too. */
const longestSeconds = 480

if (job === '') {
  console.log('doctor: there is no image yet, so the broker is not deployed, and there is nothing to examine')
  process.exit(0)
}
for (const [name, value] of Object.entries({ BROKER_DOCTOR_JOB: job, AZURE_RESOURCE_GROUP: group })) {
  // On Windows the command line of az goes through a shell.
  if (/^[\w.()-]{1,90}$/.test(value)) continue
  console.error(`doctor: ${name} must be a name in Azure; got "${value}"`)
  process.exit(1)
}

/** Runs a command of az, whose words have no spaces, and returns what it prints; undefined if it fails. */
function az(command) {
  const scope = subscription && /^[0-9a-f-]{36}$/i.test(subscription) ? ['--subscription', subscription] : []
  const args = [...command.split(' '), '--name', job, '--resource-group', group, ...scope]
  // The command for a job's log is in an extension, which az then installs by itself.
  const env = { ...process.env, AZURE_EXTENSION_USE_DYNAMIC_INSTALL: 'yes_without_prompt' }
  const options = { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], shell: process.platform === 'win32' }
  const { status, stdout, error } = spawnSync('az', args, options)
  if (error) console.error(`doctor: the Azure CLI does not run: ${error.message}`)
  return status === 0 ? stdout.trim() : undefined
}

/** The command for logs of jobs is not in the Azure CLI itself. */
const extensionHint = 'Without the extension containerapp it cannot: run "az extension add --name containerapp"'

/** Runs the job once. Returns how it ended: Succeeded, Failed, or another status of an execution. */
async function examine() {
  const execution = az('containerapp job start --query name --output tsv')
  if (execution === undefined || !/^[\w-]{1,100}$/.test(execution)) return 'not started'
  let status = 'Running'
  for (let waited = 0; waited < longestSeconds; waited += Math.max(1, pollSeconds)) {
    const show = `containerapp job execution show --job-execution-name ${execution}`
    status = az(`${show} --query properties.status --output tsv`) ?? 'unknown'
    if (!['Running', 'Processing', 'Unknown', 'unknown', ''].includes(status)) break
    await setTimeout(pollSeconds * 1000)
  }
  const log = az(
    `containerapp job logs show --execution ${execution} --container token-broker --format text --tail 300`,
  )
  console.log(log ?? `doctor: az did not show the log of ${execution}, which is in the workspace too. ${extensionHint}`)
  return status
}

for (let attempt = 1; attempt <= attempts; attempt++) {
  const status = await examine()
  if (status === 'Succeeded') process.exit(0)
  console.error(`doctor: ${status} (attempt ${attempt} of ${attempts})`)
  if (attempt < attempts) await setTimeout(pauseSeconds * 1000)
}
console.error('doctor: the deployment is complete, but the broker does not work yet. Follow the lines above.')
console.error('doctor: to examine it again, run "azd hooks run postprovision"')
process.exit(1)
