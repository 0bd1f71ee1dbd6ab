// An MCP server on standard input and output. Its tool reads the organization of one customer, whose tenant the environment
// names: the arguments of a tool come from a model, so they must not choose the tenant. For the same reason neither a result
// nor an error has a token in it.
import { McpServer } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { customerToken } from './customer-token.ts'

const { TENANT = '', RESOURCE = 'https://graph.microsoft.com', API = `${RESOURCE}/v1.0` } = process.env

async function organization(): Promise<string> {
  const token = await customerToken(TENANT, RESOURCE)
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${API}/organization`, { headers, signal: AbortSignal.timeout(10_000) })
  if (!response.ok) throw new Error(`The API returned ${response.status}.`)
  return response.text()
}

serveStdio(() => {
  const server = new McpServer({ name: 'orders', version: '1.0.0' }, { capabilities: { tools: {} } })
  server.registerTool('organization', { description: "Reads the customer's organization." }, async () => {
    try {
      return { content: [{ type: 'text', text: await organization() }] }
    } catch (error) {
      return {
        isError: true,
        content: [{ type: 'text', text: error instanceof Error ? error.message : String(error) }],
      }
    }
  })
  return server
})
