import { Agent } from 'node:https'

/**
 * Creates the agent for requests to the CA. Honours `HTTPS_PROXY` and `NO_PROXY` under the same conditions as Node's own
 * agent: from Node 22.21 and 24.5, with `NODE_USE_ENV_PROXY=1` or `--use-env-proxy`. Earlier versions ignore them.
 */
export function createAgent(): Agent {
  const { env, execArgv } = process
  const usesProxy =
    env.NODE_USE_ENV_PROXY === '1' ||
    [...execArgv, ...(env.NODE_OPTIONS ?? '').split(/\s+/)].includes('--use-env-proxy')
  // Closes idle connections before a NAT or firewall drops them. The types of Node 20 lack `proxyEnv`.
  const options = { keepAlive: true, timeout: 30_000, ...(usesProxy && { proxyEnv: env }) }
  return new Agent(options)
}
