# Net::SMTP as a client: perl send.pl PORT SECURE USER PASSWORD CA FROM TO < message
use strict;
use warnings;
use Net::SMTP;
use Authen::SASL;

my ($port, $secure, $user, $password, $ca, $from, $to) = @ARGV;
# Only here: Net::SMTP over TLS reads its lines by $/ too.
my $message = do { local $/; <STDIN> };
my %tls = (SSL_ca_file => $ca, SSL_verifycn_name => 'localhost', SSL_verify_mode => 1);
my $smtp = Net::SMTP->new('localhost', Port => $port, Hello => 'client.example.org', Timeout => 20,
    $secure eq 'implicit' ? (SSL => 1, %tls) : ()) or die "connect: $@";
if ($secure ne 'implicit') {
    $smtp->starttls(%tls) or die 'starttls: ' . $smtp->message;
}
$smtp->auth($user, $password) or die 'auth: ' . $smtp->message;
$smtp->mail($from) or die 'mail: ' . $smtp->message;
$smtp->to($to) or die 'rcpt: ' . $smtp->message;
$smtp->data($message) or die 'data: ' . $smtp->message;
print $smtp->message;
$smtp->quit;
