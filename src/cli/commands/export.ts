import { resolve } from 'node:path'
import { type Command, stringFlag } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'
import { writePrivateFiles } from '../console/files.js'
import { formatMinute } from '../console/format.js'
import { detailsFault } from '../container/certificate-details.js'
import { connect } from '../container/connection.js'
import { requireCertificate } from '../container/stored-certificate.js'
import { parseTarget, targetFlags, targetHelp } from '../flags/target.js'

export const exportCertificate: Command = {
  usage: 'export HOST --key FILE --chain FILE [flags]',
  summary: 'Write a private key and its certificate chain to files',
  details: `Replaces the files, and sets their mode to 0600. Warns about a certificate that is for another host, of another key type,
expired or not yet valid. Refuses a certificate that is corrupt, encrypted or does not match its key.
${targetHelp}`,
  operands: [1, 1],
  flags: {
    ...targetFlags,
    key: { value: 'FILE', help: 'file for the private key (required)' },
    chain: { value: 'FILE', help: 'file for the certificate chain, leaf first (required)' },
  },
  async run(args, terminal) {
    const target = parseTarget(args)
    const [keyFile, chainFile] = [stringFlag(args, 'key'), stringFlag(args, 'chain')]
    if (keyFile === undefined) throw new UsageError('missing flag: --key')
    if (chainFile === undefined) throw new UsageError('missing flag: --chain')
    if (resolve(keyFile) === resolve(chainFile)) {
      throw new UsageError(
        '--key and --chain are the same file. To write both to one file, use show --with-key',
      )
    }
    const { bundle, certificate } = await requireCertificate(await connect(args), target)
    await writePrivateFiles({ file: keyFile, data: bundle.key }, { file: chainFile, data: bundle.chain })
    terminal.printNote(`wrote private key to ${keyFile}`)
    terminal.printNote(`wrote certificate chain to ${chainFile}`)
    const fault = detailsFault(certificate, target.id)
    if (fault === 'another host') {
      const names = certificate.names.map((name) => `"${name}"`).join(', ') || 'no DNS name'
      terminal.printWarning(`the certificate is not for "${target.host}", but for ${names}`)
    }
    if (fault === 'another key type') {
      terminal.printWarning(`the key type of the certificate is ${certificate.keyType}: servers ignore it`)
    }
    if (certificate.notAfter <= Date.now()) {
      terminal.printWarning(`the certificate expired ${formatMinute(new Date(certificate.notAfter))}`)
    }
    if (certificate.notBefore > Date.now()) {
      terminal.printWarning(
        `the certificate is not valid before ${formatMinute(new Date(certificate.notBefore))}`,
      )
    }
    return 0
  },
}
