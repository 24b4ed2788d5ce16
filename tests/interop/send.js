// nodemailer as a client: node send.js PORT SECURE METHOD USER PASSWORD CA FROM TO < message
"use strict";
const fs = require("fs");
const path = require("path");
const nodemailer = require(path.join(__dirname, "node", "node_modules", "nodemailer"));

const [port, secure, method, user, pass, ca, from, to] = process.argv.slice(2);
const transport = nodemailer.createTransport({
    host: "127.0.0.1", // the name may lead to ::1, where nobody listens
    port: Number(port),
    secure: secure === "implicit",
    requireTLS: true,
    authMethod: method,
    auth: { user, pass },
    tls: { ca: fs.readFileSync(ca), servername: "localhost" },
});

transport.sendMail({ envelope: { from, to }, raw: fs.readFileSync(0) }, (error, info) => {
    if (error) {
        console.error(error.message);
        process.exit(1);
    }
    console.log(info.response);
    transport.close();
});
