import { setTimeout as sleep } from 'node:timers/promises'

const [scope = 'https://graph.microsoft.com/.default', seconds] = process.argv.slice(2)

/** Prints a token. With a number of seconds as second argument, waits that long and prints a token again. */
export async function show(credential: { getToken(scope: string): Promise<{ token: string } | null> }): Promise<void> {
  try {
    console.log((await credential.getToken(scope))?.token)
    if (seconds === undefined) return
    await sleep(Number(seconds) * 1000)
    console.log((await credential.getToken(scope))?.token)
  } catch (error) {
    const { error_description: description, cause } = Object(error)
    console.error(String(error), description ?? cause?.status ?? '')
    process.exitCode = 1
  }
}
