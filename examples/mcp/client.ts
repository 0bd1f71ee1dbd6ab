// An MCP client: starts the server, calls its tool, and prints the result. With a number of seconds as second argument, it
// waits that long and calls the tool again.
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { setTimeout as sleep } from 'node:timers/promises'

const [scope = 'https://graph.microsoft.com/.default', seconds] = process.argv.slice(2)
const env = { ...process.env, RESOURCE: scope.replace(/\/\.default$/, '') }

const client = new Client({ name: 'example', version: '1.0.0' })
await client.connect(
  new StdioClientTransport({ command: process.execPath, args: ['server.ts'], env, cwd: import.meta.dirname }),
)

async function call(): Promise<void> {
  const { content, isError } = await client.callTool({ name: 'organization' })
  const text = content.map(each => (each.type === 'text' ? each.text : '')).join('\n')
  if (isError === true) {
    console.error(text)
    process.exitCode = 1
  } else {
    console.log(text)
  }
}

await call()
if (seconds !== undefined) {
  await sleep(Number(seconds) * 1000)
  await call()
}
await client.close()
