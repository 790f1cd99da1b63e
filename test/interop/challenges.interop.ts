import { expect, test } from 'vitest'
import { get, handshake } from '../support/tls.js'
import { openSite } from './site.js'

const host = 'shop.example'
const types = ['http-01', 'tls-alpn-01'] as const

test.each(types)('Node answers the %s challenge of an order that Go placed', async (type) => {
  await using site = await openSite({ challengeTypes: [type] })
  const go = await site.goServer()
  const node = await site.node({ http: true })
  site.validateAt(node)
  const { serialNumber } = await handshake(go.tlsPort, host)
  expect(node.events).toEqual([`${type} from store`])
  expect(await handshake(node.tlsPort, host)).toMatchObject({ serialNumber })
  await expect.poll(() => site.names()).toEqual(['acme_account+key', host])
  expect(site.ca.counts.orders).toBe(1)
})

test.each(types)('Go answers the %s challenge of an order that Node placed', async (type) => {
  await using site = await openSite({ challengeTypes: [type] })
  const go = await site.goServer()
  const node = await site.node({ http: true })
  site.validateAt(go)
  const { serialNumber } = await handshake(node.tlsPort, host)
  expect(node.events).toEqual(['issued'])
  expect(await handshake(go.tlsPort, host)).toMatchObject({ serialNumber })
  expect(await site.names()).toEqual(['acme_account+key', host])
  expect(site.ca.counts).toMatchObject({ orders: 1, validations: 1 })
})

test('Go and Node return a stored http-01 answer byte for byte', async () => {
  await using site = await openSite()
  const go = await site.goServer()
  const node = await site.node({ http: true })
  const [byGo, byNode] = ['token-by-Go_1.thumbprint', 'token-by-Node_1.thumbprint']
  await site.go.put('token-by-Go_1+http-01', Buffer.from(byGo))
  await site.cache.put('token-by-Node_1+http-01', Buffer.from(byNode))
  for (const { httpPort } of [go, node]) {
    const answer = (token: string) => get(httpPort, `/.well-known/acme-challenge/${token}`, { host })
    expect(await answer('token-by-Go_1')).toMatchObject({ status: 200, body: byGo })
    expect(await answer('token-by-Node_1')).toMatchObject({ status: 200, body: byNode })
    expect(await answer('token-by-nobody')).toMatchObject({ status: 404 })
  }
})
