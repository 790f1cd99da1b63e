// A plugin of TypeDoc.
import ts from 'typescript'

/** @param {import('typedoc').Application} app */
export function load({ converter }) {
  // `{@link CertCache}` in the comments of one entry finds what another entry exports.
  converter.addUnknownSymbolResolver(({ symbolReference }, { project }) => {
    const names = (symbolReference?.path ?? []).map(({ path }) => path)
    const target = project.children?.map((entry) => entry.getChildByName(names)).find(Boolean)
    return target && { target, caption: names.join('.') }
  })
  // TypeDoc drops the type of `@throws {TypeError} if …`.
  converter.on('createSignature', (_context, { comment }, declaration) => {
    const types = declaration ? ts.getJSDocTags(declaration).filter(ts.isJSDocThrowsTag) : []
    const throws = (comment?.blockTags ?? []).filter(({ tag }) => tag === '@throws')
    for (const [index, { content }] of throws.entries()) {
      const type = types[index]?.typeExpression?.type.getText()
      if (type) content.unshift({ kind: 'code', text: `\`${type}\`` }, { kind: 'text', text: ' ' })
    }
  })
}
