// A certified OpenID provider (npm `oidc-provider`) with one client, the dashboard, and an account for each name that
// signs in. Prints its issuer when it listens, and ends with its standard input.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { default: Provider } = createRequire(`${process.env.TEST_BROWSER}/package.json`)("oidc-provider");

const server = createServer();
server.listen(0, "127.0.0.1", () => {
    const issuer = `http://127.0.0.1:${server.address().port}`;
    const provider = new Provider(issuer, {
        clients: [
            {
                client_id: "dashboard",
                // A native client may be sent back to any port of the machine.
                application_type: "native",
                token_endpoint_auth_method: "none",
                redirect_uris: ["http://127.0.0.1/session/callback"],
                grant_types: ["authorization_code"],
                response_types: ["code"],
            },
        ],
        claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
        conformIdTokenClaims: false,
        pkce: { required: () => true },
        findAccount: (_, sub) => ({
            accountId: sub,
            claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true, name: sub }),
        }),
    });
    server.on("request", provider.callback());
    console.log(issuer);
});
process.stdin.resume().on("end", () => process.exit());
